//! The file of usage records: one line, one `write`, before the request's last byte leaves.
//!
//! A plain file takes a line in microseconds, so the line is written where it arises. If somebody
//! else is writing, if the last write took long, or if the sink is a pipe that may block, the line
//! goes to a thread with a bounded queue, and the request waits for it up to `PATIENCE`. After a
//! kill, what was written is with the operating system: no answered request is missing.

use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

/// How long a request waits for its record.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long the end of the process waits for queued lines.
const FAREWELL: Duration = Duration::from_millis(500);

/// How often a request tries to write its record itself while somebody else is writing.
const TURNS: usize = 16;

/// Lines that wait for a slow sink; more are counted and lost.
const QUEUE: usize = 10_000;

/// A record file, open for appending.
pub(crate) struct Sink {
    /// None only while dropping: that ends the thread.
    queue: Option<SyncSender<Job>>,
    writer: Option<JoinHandle<()>>,
    file: Arc<Mutex<Appender>>,
    /// Whether lines may be written by whoever has them.
    direct: bool,
    /// The last write took longer than `PATIENCE`: leave it to the thread until it is quick again.
    slow: Arc<AtomicBool>,
    pub(crate) lost: Arc<AtomicU64>,
}

struct Job {
    line: Vec<u8>,
    done: oneshot::Sender<()>,
}

struct Appender {
    file: File,
    /// The last line was cut short (disk full): the next one starts on a line of its own.
    torn: bool,
}

/// Ready when the line is written, or when waiting longer would be worse than losing it.
pub(crate) enum Ticket {
    Done,
    Waiting { written: oneshot::Receiver<()>, patience: Pin<Box<Sleep>> },
}

impl Sink {
    pub(crate) fn open(path: &Path) -> io::Result<Sink> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let direct = file.metadata()?.is_file();
        let torn = direct && is_torn(path);
        let file = Arc::new(Mutex::new(Appender { file, torn }));
        let (queue, jobs) = sync_channel(QUEUE);
        let slow = Arc::new(AtomicBool::new(false));
        let lost = Arc::new(AtomicU64::new(0));
        let writer = {
            let (file, slow, lost) = (Arc::clone(&file), Arc::clone(&slow), Arc::clone(&lost));
            thread::Builder::new()
                .name("usage".to_owned())
                .spawn(move || drain(&jobs, &file, &slow, &lost))?
        };
        Ok(Sink { queue: Some(queue), writer: Some(writer), file, direct, slow, lost })
    }

    /// Writes `line`, which ends in a line feed, now or soon.
    pub(crate) fn put(&self, line: Vec<u8>) -> Ticket {
        if self.direct
            && !self.slow.load(Ordering::Relaxed)
            && let Some(mut file) = self.turn()
        {
            file.append(&line, &self.slow, &self.lost);
            return Ticket::Done;
        }
        let (done, written) = oneshot::channel();
        let sent = self.queue.as_ref().map(|queue| queue.try_send(Job { line, done }));
        match sent {
            Some(Ok(())) => Ticket::Waiting { written, patience: Box::pin(sleep(PATIENCE)) },
            Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) | None => {
                lose(&self.lost, "the queue for a slow sink is full");
                Ticket::Done
            }
        }
    }
}

impl Sink {
    /// The file, if it can be had at once: whoever writes is mostly done in microseconds.
    fn turn(&self) -> Option<MutexGuard<'_, Appender>> {
        for _ in 0..TURNS {
            if let Ok(file) = self.file.try_lock() {
                return Some(file);
            }
            thread::yield_now();
        }
        None
    }
}

/// Whether the file ends in the middle of a line: the process was killed, or the disk was full. One that cannot be read is not.
fn is_torn(path: &Path) -> bool {
    let last = || -> io::Result<u8> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut byte = [0];
        file.read_exact(&mut byte)?;
        Ok(u8::from_be_bytes(byte))
    };
    last().is_ok_and(|last| last != b'\n')
}

impl Drop for Sink {
    /// Lets the thread write what is queued, unless the sink hangs: then the process must still end.
    fn drop(&mut self) {
        self.queue = None;
        let deadline = Instant::now() + FAREWELL;
        while self.writer.as_ref().is_some_and(|writer| !writer.is_finished()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Appender {
    fn append(&mut self, line: &[u8], slow: &AtomicBool, lost: &AtomicU64) {
        let start = Instant::now();
        if let Err(error) = self.write(line) {
            lose(lost, &error.to_string());
        }
        slow.store(start.elapsed() > PATIENCE, Ordering::Relaxed);
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.file.write_all(b"\n")?;
            self.torn = false;
        }
        // One call, so that lines of several processes never mix and a kill tears at most the last one.
        let written = self.file.write(line)?;
        if written < line.len() {
            self.torn = true;
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(())
    }
}

fn drain(jobs: &Receiver<Job>, file: &Mutex<Appender>, slow: &AtomicBool, lost: &AtomicU64) {
    for job in jobs {
        file.lock().unwrap_or_else(PoisonError::into_inner).append(&job.line, slow, lost);
        let _ = job.done.send(());
    }
}

/// Counts a record that is gone, and says so when the count has doubled: a full disk must not fill the log too.
fn lose(lost: &AtomicU64, why: &str) {
    let count = lost.fetch_add(1, Ordering::Relaxed) + 1;
    if count.is_power_of_two() {
        tracing::error!(lost = count, why, "usage records are lost");
    }
}

impl Future for Ticket {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.get_mut() {
            Ticket::Done => Poll::Ready(()),
            Ticket::Waiting { written, patience } => {
                if Pin::new(written).poll(cx).is_ready() || patience.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Sink, Ticket};

    #[tokio::test]
    async fn lines_are_written_at_once() {
        let path = std::env::temp_dir().join(format!("interlingua-sink-{}.jsonl", std::process::id()));
        let sink = Sink::open(&path).unwrap();
        for index in 0..3 {
            assert!(matches!(sink.put(format!("{index}\n").into_bytes()), Ticket::Done));
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "0\n1\n2\n");
        // Held by somebody else: the thread takes over, and the ticket says when.
        let ticket = {
            let _held = sink.file.lock().unwrap();
            sink.put(b"3\n".to_vec())
        };
        ticket.await;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "0\n1\n2\n3\n");
        drop(sink);
        // What a kill left unfinished is a line of its own, once.
        std::fs::write(&path, "0\n1").unwrap();
        for line in ["2\n", "3\n"] {
            assert!(matches!(Sink::open(&path).unwrap().put(line.into()), Ticket::Done));
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "0\n1\n2\n3\n");
        std::fs::remove_file(&path).unwrap();
    }
}
