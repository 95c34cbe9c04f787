//! What a provider says when all is well, in the standard format and in another one.

/// How a fault is met: who speaks, and whether the client wants a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// Another format than the client's.
    pub(crate) other: bool,
    pub(crate) live: bool,
}

/// All of them.
pub(crate) const WAYS: [Way; 4] = [
    Way { other: false, live: false },
    Way { other: true, live: false },
    Way { other: false, live: true },
    Way { other: true, live: true },
];

/// The text of every answer.
pub(crate) const TEXT: &str = "Grüße €😀";

impl Way {
    /// `live/other`
    pub(crate) fn name(self) -> String {
        format!("{}/{}", if self.live { "live" } else { "plain" }, self.format())
    }

    /// Who speaks: also the provider's name in the config.
    pub(crate) fn format(self) -> &'static str {
        if self.other { "other" } else { "same" }
    }

    pub(crate) fn media(self) -> &'static str {
        if self.live { "text/event-stream" } else { "application/json" }
    }

    /// What the provider has to say: a whole answer or all of a stream.
    pub(crate) fn answer(self) -> String {
        if self.live { self.begin() + &self.stop() + &self.done() } else { self.whole() }
    }

    fn whole(self) -> String {
        if self.other {
            format!(
                r#"{{"id":"msg_1","type":"message","role":"assistant","model":"m-1","content":[{{"type":"text","text":"{TEXT}"}}],"stop_reason":"end_turn","usage":{{"input_tokens":3,"output_tokens":2}}}}"#
            )
        } else {
            format!(
                r#"{{"id":"c1","object":"chat.completion","created":1,"model":"m-1","choices":[{{"index":0,"message":{{"role":"assistant","content":"{TEXT}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}}}"#
            )
        }
    }

    /// The part of a stream before its text ends.
    pub(crate) fn begin(self) -> String {
        if self.other {
            [
                event("message_start", r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m-1","content":[],"stop_reason":null,"usage":{"input_tokens":3,"output_tokens":1}}}"#),
                event("content_block_start", r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#),
                self.says(TEXT),
            ]
            .concat()
        } else {
            self.says(TEXT)
        }
    }

    /// One piece of text.
    pub(crate) fn says(self, text: &str) -> String {
        if self.other {
            event(
                "content_block_delta",
                &format!(
                    r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{text}"}}}}"#
                ),
            )
        } else {
            data(&chunk(&format!(r#"{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}"#)))
        }
    }

    /// The reason why the text ended.
    pub(crate) fn stop(self) -> String {
        if self.other {
            event("content_block_stop", r#"{"type":"content_block_stop","index":0}"#)
                + &event(
                    "message_delta",
                    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2}}"#,
                )
        } else {
            data(&chunk(r#"{"index":0,"delta":{},"finish_reason":"stop"}"#))
        }
    }

    /// The end of the stream.
    pub(crate) fn done(self) -> String {
        if self.other { event("message_stop", r#"{"type":"message_stop"}"#) } else { data("[DONE]") }
    }

    /// A sign of life.
    pub(crate) fn ping(self) -> String {
        if self.other { event("ping", r#"{"type":"ping"}"#) } else { ": ping\n\n".to_owned() }
    }

    /// An error as the body of an answer.
    pub(crate) fn error(self, message: &str) -> String {
        let kind = if self.other { r#""type":"error","# } else { "" };
        format!(r#"{{{kind}"error":{{"type":"some_error","message":"{message}","param":null,"code":null}}}}"#)
    }

    /// An error in a stream.
    pub(crate) fn error_event(self, message: &str) -> String {
        if self.other { event("error", &self.error(message)) } else { data(&self.error(message)) }
    }

    /// Start line and type, without the empty line behind them.
    pub(crate) fn head(self) -> String {
        head(200, self.media())
    }
}

/// A chunk with one choice.
pub(crate) fn chunk(choice: &str) -> String {
    format!(
        r#"{{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[{choice}]}}"#
    )
}

/// An event without a name.
pub(crate) fn data(data: &str) -> String {
    format!("data: {data}\n\n")
}

/// An event with a name.
pub(crate) fn event(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

/// Start line and type, without the empty line behind them.
pub(crate) fn head(status: u16, media: &str) -> String {
    format!("HTTP/1.1 {status} Scripted\r\ncontent-type: {media}\r\n")
}

/// A piece of a chunked body.
pub(crate) fn piece(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// The end of a chunked body.
pub(crate) const LAST: &str = "0\r\n\r\n";

/// The header of a chunked body, and the empty line.
pub(crate) const CHUNKED: &str = "transfer-encoding: chunked\r\n\r\n";

/// The header of a body of that length, and the empty line.
pub(crate) fn length(bytes: usize) -> String {
    format!("content-length: {bytes}\r\n\r\n")
}
