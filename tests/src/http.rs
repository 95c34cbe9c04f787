//! HTTP/1.1 as bytes, read without a library: what a library forgives or hides is what is tested.

use tokio::io::{AsyncRead, AsyncReadExt};

/// Start line and headers.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The first line.
    pub start: String,
    /// Names in small letters, in their order.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The value of a header; several are joined with `, `.
    pub fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> =
            self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    fn parse(text: &str) -> Head {
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let headers = lines.filter(|line| !line.is_empty()).map(|line| {
            let (name, value) = line.split_once(':').expect("a header has a colon");
            (name.to_ascii_lowercase(), value.trim().to_owned())
        });
        Head { start, headers: headers.collect() }
    }
}

/// Reads messages off a connection.
#[derive(Debug)]
pub struct Reader<R> {
    stream: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Of a connection that nothing was read from.
    pub fn new(stream: R) -> Reader<R> {
        Reader { stream, buffer: Vec::new() }
    }

    /// The connection.
    pub fn stream(&mut self) -> &mut R {
        &mut self.stream
    }

    /// More bytes; false at the end or after a reset.
    async fn more(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.buffer).await, Ok(count) if count > 0)
    }

    /// The next head; None at the end.
    pub async fn head(&mut self) -> Option<Head> {
        let end = loop {
            match find(&self.buffer, b"\r\n\r\n") {
                Some(end) => break end,
                None if self.more().await => {}
                None => return None,
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        Some(Head::parse(&String::from_utf8(head).expect("heads are text")))
    }

    /// Exactly so many bytes; None if there are fewer.
    pub async fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            if !self.more().await {
                return None;
            }
        }
        Some(self.buffer.drain(..count).collect())
    }

    async fn line(&mut self) -> Option<String> {
        let end = loop {
            match find(&self.buffer, b"\r\n") {
                Some(end) => break end,
                None if self.more().await => {}
                None => return None,
            }
        };
        let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
        Some(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// The next piece of a chunked body; None at its end.
    ///
    /// # Errors
    /// The connection broke off.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, BrokenOff> {
        let size = self.line().await.ok_or(BrokenOff)?;
        let size = usize::from_str_radix(&size, 16).expect("a chunk has a size");
        let chunk = self.exactly(size).await.ok_or(BrokenOff)?;
        self.exactly(2).await.ok_or(BrokenOff)?;
        Ok((size > 0).then_some(chunk))
    }

    /// The body that belongs to `head`, to its end.
    ///
    /// # Errors
    /// The connection broke off.
    pub async fn body(&mut self, head: &Head, of_request: bool) -> Result<Vec<u8>, BrokenOff> {
        if head.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            let mut body = Vec::new();
            while let Some(chunk) = self.chunk().await? {
                body.extend(chunk);
            }
            return Ok(body);
        }
        match head.header("content-length") {
            Some(length) => {
                self.exactly(length.parse().expect("a length is a number")).await.ok_or(BrokenOff)
            }
            None if of_request => Ok(Vec::new()),
            None => Ok(self.rest().await),
        }
    }

    /// Everything to the end.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.buffer)
    }

    /// Waits until the other side has closed the connection.
    pub async fn closed(&mut self) {
        while self.more().await {}
    }
}

/// The other side went away in the middle.
#[derive(Debug, PartialEq, Eq)]
pub struct BrokenOff;

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
