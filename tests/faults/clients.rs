//! Clients on a bare socket: what they send, step by step, and what they get.

use std::sync::Arc;
use std::time::{Duration, Instant};

use interlingua_tests::http::{Head, Reader};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::dialect::{Way, length, piece};
use crate::fault::request;
use crate::provider::Script;
use crate::provider_bodies::{bomb, brotli, gzip, zlib, zstd};
use crate::world::{BODY_BYTES, IMPATIENT, KEY, World, Worlds};

/// What a client does.
#[derive(Clone, Debug)]
enum Step {
    Send(Vec<u8>),
    /// Byte by byte, this far apart, until the gateway has enough.
    Drip(Vec<u8>, Duration),
    Wait(Duration),
    /// It has nothing more to say, but listens.
    HalfClose,
}

use Step::{Drip, HalfClose, Send, Wait};

/// A fault of a client.
#[derive(Clone)]
struct Row {
    name: &'static str,
    steps: fn(&Ask) -> Vec<Step>,
    /// Status and, if it is an error of ours, code of every answer.
    answers: &'static [(u16, &'static str)],
    /// Whether the gateway closes the connection then.
    closes: bool,
    bodiless: bool,
    live: bool,
    impatient: bool,
    time: (Duration, Duration),
    /// A header of the last answer.
    header: Option<(&'static str, &'static str)>,
}

/// The usual request, to be spoilt.
struct Ask {
    model: String,
    body: String,
}

const SLACK: Duration = Duration::from_secs(4);

impl Ask {
    /// A sound request with other headers; they say how long the body is.
    fn with(&self, headers: &str) -> Vec<Step> {
        self.sends(headers, self.body.as_bytes())
    }

    /// The same with another body.
    fn sends(&self, headers: &str, body: &[u8]) -> Vec<Step> {
        vec![Send([self.head(headers).as_bytes(), body].concat())]
    }

    fn head(&self, headers: &str) -> String {
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: a.example\r\ncontent-type: application/json\r\n{headers}\r\n"
        )
    }

    /// The header that says how long the body is.
    fn length(&self) -> String {
        format!("content-length: {}\r\n", self.body.len())
    }

    /// A sound request.
    fn sound(&self) -> Vec<u8> {
        (self.head(&self.length()) + &self.body).into_bytes()
    }

    /// The same with another start line.
    fn started(&self, line: &str) -> Vec<Step> {
        vec![Send(
            format!(
                "{line}\r\nhost: a.example\r\ncontent-type: application/json\r\n{}\r\n{}",
                self.length(),
                self.body
            )
            .into_bytes(),
        )]
    }

    /// The body in chunks.
    fn chunked(&self) -> Vec<u8> {
        let (left, right) = self.body.split_at(10);
        [piece(left), piece(right), b"0\r\n\r\n".to_vec()].concat()
    }
}

fn row(name: &'static str, answers: &'static [(u16, &'static str)], steps: fn(&Ask) -> Vec<Step>) -> Row {
    Row {
        name,
        steps,
        answers,
        closes: false,
        bodiless: false,
        live: false,
        impatient: false,
        time: (Duration::ZERO, Duration::from_secs(15)),
        header: None,
    }
}

impl Row {
    fn closes(self) -> Row {
        Row { closes: true, ..self }
    }

    fn bodiless(self) -> Row {
        Row { bodiless: true, ..self }
    }

    fn live(self) -> Row {
        Row { live: true, ..self }
    }

    /// The gateway loses its patience.
    fn in_time(self, least: Duration) -> Row {
        Row { impatient: true, closes: true, time: (least, least + SLACK), ..self }
    }

    fn header(self, name: &'static str, value: &'static str) -> Row {
        Row { header: Some((name, value)), ..self }
    }
}

pub(crate) fn trials(worlds: &Arc<Worlds>) -> Vec<Trial> {
    let all = [framing(), heads(), sizes(), media(), methods(), sound(), slow(), half()].concat();
    all.into_iter()
        .flat_map(|row| [(row.clone(), false), (row, true)])
        .map(|(row, secure)| {
            let worlds = Arc::clone(worlds);
            let name = format!("client/{}{}", row.name, if secure { "//tls" } else { "" });
            Trial::test(name, move || {
                let world = match (secure, row.impatient) {
                    (false, false) => worlds.usual(),
                    (false, true) => worlds.impatient(),
                    (true, false) => worlds.secure(),
                    (true, true) => worlds.secure_impatient(),
                };
                worlds.run(row.run(world))
            })
        })
        .collect()
}

const OK: &[(u16, &str)] = &[(200, "")];
const OK_TWICE: &[(u16, &str)] = &[(200, ""), (200, "")];
/// hyper's answer, before a request exists.
const MALFORMED: &[(u16, &str)] = &[(400, "")];
const NOTHING: &[(u16, &str)] = &[];

/// Where a request ends must not be a question of taste.
fn framing() -> Vec<Row> {
    let refused = |name, steps| row(name, MALFORMED, steps).closes();
    vec![
        refused("smuggling/length_and_chunked", |ask| {
            ask.sends(&(ask.length() + "transfer-encoding: chunked\r\n"), &ask.chunked())
        }),
        refused("smuggling/chunked_and_length", |ask| {
            ask.sends("transfer-encoding: chunked\r\ncontent-length: 4\r\n", &ask.chunked())
        }),
        refused("smuggling/chunked_and_length_far_behind", |ask| {
            let between = "x-a: b\r\n".repeat(50);
            ask.sends(
                &format!("Transfer-Encoding: chunked\r\n{between}CONTENT-LENGTH: 4\r\n"),
                &ask.chunked(),
            )
        }),
        refused("smuggling/chunked_and_length_in_two_writes", |ask| {
            let head = ask.head("transfer-encoding: chunked\r\ncontent-length: 4\r\n");
            let (left, right) = head.split_at(head.find("ent-len").unwrap());
            vec![
                Send(left.into()),
                Wait(Duration::from_millis(50)),
                Send([right.as_bytes(), &ask.chunked()].concat()),
            ]
        }),
        refused("smuggling/two_lengths", |ask| ask.with(&(ask.length() + "content-length: 1\r\n"))),
        refused("smuggling/two_equal_lengths", |ask| ask.with(&ask.length().repeat(2))),
        refused("smuggling/list_of_lengths", |ask| {
            let bytes = ask.body.len();
            ask.with(&format!("content-length: {bytes}, {bytes}\r\n"))
        }),
        refused("smuggling/negative_length", |ask| ask.with("content-length: -1\r\n")),
        refused("smuggling/length_with_plus", |ask| ask.with(&ask.length().replace(": ", ": +"))),
        refused("smuggling/length_with_letters", |ask| ask.with("content-length: 1a\r\n")),
        refused("smuggling/empty_length", |ask| ask.with("content-length:\r\n")),
        refused("smuggling/huge_length", |ask| ask.with("content-length: 99999999999999999999\r\n")),
        refused("smuggling/unknown_coding", |ask| {
            ask.sends("transfer-encoding: xchunked\r\n", &ask.chunked())
        }),
        refused("smuggling/identity_coding", |ask| ask.with("transfer-encoding: identity\r\n")),
        refused("smuggling/chunked_is_not_last", |ask| {
            ask.sends("transfer-encoding: chunked, identity\r\n", &ask.chunked())
        }),
        refused("smuggling/chunked_twice", |ask| {
            ask.sends("transfer-encoding: chunked, chunked\r\n", &ask.chunked())
        }),
        refused("smuggling/two_codings", |ask| {
            ask.sends("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", &ask.chunked())
        }),
        refused("smuggling/coding_behind_a_tab", |ask| {
            ask.sends("transfer-encoding:\x0bchunked\r\n", &ask.chunked())
        }),
        refused("smuggling/coding_in_quotes", |ask| {
            ask.sends("transfer-encoding: \"chunked\"\r\n", &ask.chunked())
        }),
        refused("smuggling/space_before_colon", |ask| {
            ask.sends("transfer-encoding : chunked\r\n", &ask.chunked())
        }),
        refused("smuggling/space_before_colon_of_length", |ask| ask.with(&ask.length().replace(':', " :"))),
        refused("smuggling/folded_line", |ask| {
            ask.sends("transfer-encoding:\r\n chunked\r\n", &ask.chunked())
        }),
        refused("smuggling/folded_value", |ask| ask.with(&("x: a\r\n b\r\n".to_owned() + &ask.length()))),
        refused("smuggling/line_feeds_only", |ask| {
            vec![Send(String::from_utf8(ask.sound()).unwrap().replace("\r\n", "\n").into())]
        }),
        refused("smuggling/one_line_feed_only", |ask| ask.with(&("x: a\n".to_owned() + &ask.length()))),
        refused("smuggling/bare_cr", |ask| ask.with(&("x: a\rb: c\r\n".to_owned() + &ask.length()))),
        refused("smuggling/cr_cr_lf", |ask| ask.with(&("x: a\r\r\n".to_owned() + &ask.length()))),
        refused("smuggling/nul", |ask| ask.with(&("x: a\0b\r\n".to_owned() + &ask.length()))),
        refused("smuggling/nul_in_a_name", |ask| ask.with(&("x\0: ab\r\n".to_owned() + &ask.length()))),
        refused("smuggling/space_first", |ask| ask.with(&(" x: a\r\n".to_owned() + &ask.length()))),
        refused("smuggling/no_colon", |ask| ask.with(&("nothing\r\n".to_owned() + &ask.length()))),
        refused("smuggling/empty_name", |ask| ask.with(&(": a\r\n".to_owned() + &ask.length()))),
        refused("smuggling/chunked_in_http_1_0", |ask| {
            let head = ask.head("transfer-encoding: chunked\r\n").replace("HTTP/1.1", "HTTP/1.0");
            vec![Send([head.as_bytes(), &ask.chunked()].concat())]
        }),
        row("smuggling/coding_that_is_not_undone", &[(501, "transfer_coding")], |ask| {
            ask.sends("transfer-encoding: gzip, chunked\r\n", &ask.chunked())
        })
        .closes(),
        // In the body.
        row("chunk/size_of_letters", &[(400, "invalid_body")], |ask| {
            ask.sends("transfer-encoding: chunked\r\n", b"xyz\r\n{}\r\n0\r\n\r\n")
        })
        .closes(),
        row("chunk/size_with_prefix", &[(400, "invalid_body")], |ask| {
            ask.sends("transfer-encoding: chunked\r\n", b"0x2\r\n{}\r\n0\r\n\r\n")
        })
        .closes(),
        row("chunk/negative_size", &[(400, "invalid_body")], |ask| {
            ask.sends("transfer-encoding: chunked\r\n", b"-2\r\n{}\r\n0\r\n\r\n")
        })
        .closes(),
        row("chunk/size_beyond_64_bits", &[(400, "invalid_body")], |ask| {
            ask.sends("transfer-encoding: chunked\r\n", b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n")
        })
        .closes(),
        row("chunk/longer_than_it_says", &[(400, "invalid_body")], |ask| {
            ask.sends("transfer-encoding: chunked\r\n", b"1\r\n{}\r\n0\r\n\r\n")
        })
        .closes(),
        row("chunk/line_feeds_only", &[(400, "invalid_body")], |ask| {
            ask.sends("transfer-encoding: chunked\r\n", b"2\n{}\n0\n\n")
        })
        .closes(),
        row("chunk/endless_extension", &[(400, "invalid_body")], |ask| {
            let long = [b"2;".to_vec(), vec![b'x'; 64 << 10], b"\r\n{}\r\n0\r\n\r\n".to_vec()].concat();
            ask.sends("transfer-encoding: chunked\r\n", &long)
        })
        .closes(),
        row("chunk/endless_trailers", &[(400, "invalid_body")], |ask| {
            let long = [piece(&ask.body), b"0\r\n".to_vec(), b"x: y\r\n".repeat(20_000)].concat();
            ask.sends("transfer-encoding: chunked\r\n", &long)
        })
        .closes(),
        // A request inside of a body is none.
        row("smuggling/request_in_the_body", OK, |ask| {
            let hidden = "DELETE /v1/models HTTP/1.1\r\nhost: a\r\n\r\n";
            let body = ask.body.replace("Hello", &hidden.replace("\r\n", "\\r\\n"));
            ask.sends(&format!("content-length: {}\r\n", body.len()), body.as_bytes())
        }),
        row("smuggling/request_behind_a_refused_body", &[(415, "unsupported_media_type")], |ask| {
            let head = ask.head("content-length: 1000000\r\n").replace("application/json", "text/plain");
            vec![Send(head.into()), Send(ask.sound())]
        })
        .closes(),
    ]
}

/// Heads that are none.
fn heads() -> Vec<Row> {
    let refused = |name, steps| row(name, MALFORMED, steps).closes();
    vec![
        refused("head/garbage", |_| vec![Send(b"\x00\x01\x02\x03\r\n\r\n".to_vec())]),
        refused("head/tls", |_| vec![Send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n".to_vec())]),
        refused("head/no_version", |ask| ask.started("POST /v1/chat/completions")),
        refused("head/http_0_9", |_| vec![Send(b"GET /health/live\r\n\r\n".to_vec())]),
        refused("head/http_3", |ask| ask.started("POST /v1/chat/completions HTTP/3.0")),
        refused("head/version_of_letters", |ask| ask.started("POST /v1/chat/completions HTTP/x.y")),
        refused("head/two_spaces", |ask| ask.started("POST  /v1/chat/completions HTTP/1.1")),
        refused("head/space_in_the_target", |ask| ask.started("POST /v1/chat completions HTTP/1.1")),
        refused("head/no_target", |ask| ask.started("POST HTTP/1.1")),
        refused("head/control_in_the_target", |ask| ask.started("POST /v1/chat\x01 HTTP/1.1")),
        refused("head/method_with_brackets", |ask| ask.started("PO<ST> /v1/chat/completions HTTP/1.1")),
        row("head/no_host", &[(400, "invalid_host")], |ask| {
            vec![Send(String::from_utf8(ask.sound()).unwrap().replace("host: a.example\r\n", "").into())]
        }),
        row("head/two_hosts", &[(400, "invalid_host")], |ask| {
            ask.with(&(ask.length() + "host: b.example\r\n"))
        }),
        row("head/absolute_target", OK, |ask| {
            ask.started("POST http://b.example:81/v1/chat/completions HTTP/1.1")
        }),
        row("head/cut", NOTHING, |_| vec![Send(b"POST /v1/chat".to_vec()), HalfClose]).closes(),
        row("head/lines_in_front", OK, |ask| vec![Send(b"\r\n\r\n".to_vec()), Send(ask.sound())]),
    ]
}

/// Too much.
fn sizes() -> Vec<Row> {
    let large = &[(413, "request_too_large")];
    vec![
        row("size/target", &[(414, "target_too_long")], |ask| {
            ask.started(&format!("POST /v1/chat/completions?{} HTTP/1.1", "x".repeat(20 << 10)))
        }),
        row("size/path", &[(414, "target_too_long")], |ask| {
            ask.started(&format!("POST /{} HTTP/1.1", "x".repeat(20 << 10)))
        }),
        row("size/one_header", &[(431, "headers_too_large")], |ask| {
            ask.with(&format!("x: {}\r\n{}", "y".repeat(20 << 10), ask.length()))
        }),
        row("size/many_headers", &[(431, "")], |ask| ask.with(&("x: y\r\n".repeat(500) + &ask.length())))
            .closes(),
        row("size/endless_header", &[(431, "")], |ask| {
            vec![Send((ask.head("x: ").trim_end().to_owned() + &"y".repeat(1 << 20)).into())]
        })
        .closes(),
        row("size/head_that_fits", OK, |ask| {
            ask.with(&format!("x: {}\r\n{}", "y".repeat(12 << 10), ask.length()))
        }),
        row("size/body", large, |ask| {
            let body = vec![b' '; BODY_BYTES + 1];
            ask.sends(&format!("content-length: {}\r\n", body.len()), &body)
        }),
        row("size/body_in_chunks", large, |ask| {
            let body = [piece(vec![b' '; 1 << 20]).repeat(13), b"0\r\n\r\n".to_vec()].concat();
            ask.sends("transfer-encoding: chunked\r\n", &body)
        }),
        row("size/body_that_is_asked_about", large, |ask| {
            ask.sends("expect: 100-continue\r\ncontent-length: 99999999\r\n", b"")
        })
        .closes(),
        row("size/body_that_never_comes", large, |ask| ask.sends("content-length: 99999999\r\n", b""))
            .closes(),
        row("size/body_that_fits", OK, |ask| {
            let body = ask.body.replace('{', &format!("{{{}", " ".repeat(1 << 20)));
            ask.sends(&format!("content-length: {}\r\n", body.len()), body.as_bytes())
        }),
        row("size/gzip_bomb", large, |ask| {
            let body = bomb();
            ask.sends(&format!("content-encoding: gzip\r\ncontent-length: {}\r\n", body.len()), &body)
        }),
        row("size/zstd_window", large, |ask| {
            let mut body = zstd(&ask.body);
            body[5] = 0xff;
            ask.sends(&format!("content-encoding: zstd\r\ncontent-length: {}\r\n", body.len()), &body)
        }),
        row("size/200000_levels", &[(400, "")], |ask| {
            let body = ask.body.replace("\"Hello\"", &("[".repeat(200_000) + &"]".repeat(200_000)));
            ask.sends(&format!("content-length: {}\r\n", body.len()), body.as_bytes())
        }),
        row("size/no_length", &[(411, "length_required")], |ask| vec![Send(ask.head("").into())]),
    ]
}

/// Types and codings of bodies.
fn media() -> Vec<Row> {
    fn coded(ask: &Ask, coding: &str, body: &[u8]) -> Vec<Step> {
        ask.sends(&format!("content-encoding: {coding}\r\ncontent-length: {}\r\n", body.len()), body)
    }
    fn typed(ask: &Ask, media: &str) -> Vec<Step> {
        let sound = String::from_utf8(ask.sound()).unwrap();
        vec![Send(sound.replace("content-type: application/json\r\n", media).into())]
    }
    let media = &[(415, "unsupported_media_type")];
    let coding = &[(415, "unsupported_content_encoding")];
    let broken = &[(400, "invalid_body")];
    vec![
        row("type/text", media, |ask| typed(ask, "content-type: text/plain\r\n")),
        row("type/form", media, |ask| typed(ask, "content-type: application/x-www-form-urlencoded\r\n")),
        row("type/almost", media, |ask| typed(ask, "content-type: application/jsonp\r\n")),
        row("type/none", OK, |ask| typed(ask, "")),
        row("type/with_suffix", OK, |ask| typed(ask, "content-type: application/x+json; charset=utf-8\r\n")),
        row("coding/gzip", OK, |ask| coded(ask, "gzip", &gzip(&ask.body))),
        row("coding/deflate", OK, |ask| coded(ask, "deflate", &zlib(&ask.body))),
        row("coding/br", OK, |ask| coded(ask, "br", &brotli(&ask.body))),
        row("coding/zstd", OK, |ask| coded(ask, "zstd", &zstd(&ask.body))),
        row("coding/unknown", coding, |ask| coded(ask, "rot13", ask.body.as_bytes())),
        row("coding/twice", coding, |ask| coded(ask, "gzip, gzip", &gzip(gzip(&ask.body)))),
        row("coding/gzip_that_is_none", broken, |ask| coded(ask, "gzip", ask.body.as_bytes())),
        row("coding/gzip_cut", broken, |ask| {
            let packed = gzip(&ask.body);
            coded(ask, "gzip", &packed[..packed.len() / 2])
        }),
        row("coding/br_cut", broken, |ask| {
            let packed = brotli(&ask.body);
            coded(ask, "br", &packed[..packed.len() / 2])
        }),
        row("coding/zstd_cut", broken, |ask| {
            let packed = zstd(&ask.body);
            coded(ask, "zstd", &packed[..packed.len() - 4])
        }),
    ]
}

/// Other methods than `POST`.
fn methods() -> Vec<Row> {
    fn line(line: &str) -> Vec<Step> {
        vec![Send(format!("{line} HTTP/1.1\r\nhost: a\r\n\r\n").into())]
    }
    let wrong = &[(405, "method_not_allowed")];
    vec![
        row("method/get", wrong, |_| line("GET /v1/chat/completions")).header("allow", "POST"),
        row("method/put", wrong, |ask| ask.started("PUT /v1/chat/completions HTTP/1.1"))
            .header("allow", "POST"),
        row("method/delete", wrong, |_| line("DELETE /v1/chat/completions")).header("allow", "POST"),
        row("method/trace", wrong, |_| line("TRACE /v1/chat/completions")).header("allow", "POST"),
        row("method/of_ones_own", wrong, |_| line("BREW /v1/chat/completions")).header("allow", "POST"),
        row("method/post_of_models", wrong, |ask| ask.started("POST /v1/models HTTP/1.1"))
            .header("allow", "GET, HEAD"),
        row("method/connect", &[(404, "unknown_url")], |_| line("CONNECT b.example:443")),
        row("method/head", &[(200, "")], |_| line("HEAD /v1/models"))
            .bodiless()
            .header("content-type", "application/json"),
        row("method/head_of_chat", &[(405, "")], |_| line("HEAD /v1/chat/completions"))
            .bodiless()
            .header("allow", "POST"),
        row("method/unknown_path", &[(404, "unknown_url")], |_| line("GET /nowhere")),
        row("method/path_with_dots", &[(404, "unknown_url")], |ask| {
            ask.started("POST /v1/x/../chat/completions HTTP/1.1")
        }),
        row("method/path_with_escapes", &[(404, "unknown_url")], |ask| {
            ask.started("POST /v1/chat%2fcompletions HTTP/1.1")
        }),
    ]
}

/// Unusual, but right.
fn sound() -> Vec<Row> {
    vec![
        row("sound/two_at_once", OK_TWICE, |ask| vec![Send(ask.sound().repeat(2))]),
        row("sound/three_at_once_in_chunks", &[(200, ""), (200, ""), (200, "")], |ask| {
            let one = [ask.head("transfer-encoding: chunked\r\n").as_bytes(), &ask.chunked()].concat();
            vec![Send(one.repeat(3))]
        }),
        row("sound/refused_and_served", &[(404, "unknown_url"), (200, "")], |ask| {
            let first = b"GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n";
            vec![Send([&first[..], &ask.sound()].concat())]
        }),
        row("sound/second_one_is_refused", &[(200, ""), (400, "")], |ask| {
            let second = ask.head("content-length: 1\r\ncontent-length: 2\r\n") + "xx";
            vec![Send([&ask.sound()[..], second.as_bytes()].concat())]
        })
        .closes(),
        row("sound/second_one_is_refused_behind_chunks", &[(200, ""), (400, "")], |ask| {
            let first = [ask.head("transfer-encoding: chunked\r\n").as_bytes(), &ask.chunked()].concat();
            let second = ask.head("content-length: 1\r\ntransfer-encoding: chunked\r\n") + "xx";
            vec![Send([&first[..], second.as_bytes()].concat())]
        })
        .closes(),
        row("sound/chunks_with_extensions_and_trailers", OK_TWICE, |ask| {
            let body = format!("{:X};a=\"b\"\r\n{}\r\n0;c\r\nx: y\r\n\r\n", ask.body.len(), ask.body);
            vec![Send((ask.head("transfer-encoding: chunked\r\n") + &body).repeat(2).into())]
        }),
        row("sound/byte_by_byte", OK, |ask| vec![Drip(ask.sound(), Duration::from_micros(100))]),
        row("sound/close", OK, |ask| ask.with(&(ask.length() + "connection: close\r\n"))).closes(),
        row("sound/expect", &[(100, ""), (200, "")], |ask| {
            vec![
                Send(ask.head(&(ask.length() + "expect: 100-continue\r\n")).into()),
                Wait(Duration::from_millis(100)),
                Send(ask.body.clone().into()),
            ]
        }),
        row("sound/expect_with_the_body_at_once", &[(100, ""), (200, "")], |ask| {
            ask.with(&(ask.length() + "expect: 100-continue\r\n"))
        }),
        row("sound/expect_and_refused", &[(415, "unsupported_media_type")], |ask| {
            let head = ask.head(&(ask.length() + "expect: 100-continue\r\n"));
            vec![Send(head.replace("application/json", "text/plain").into())]
        })
        .closes(),
        row("sound/http_1_0", OK, |ask| ask.started("POST /v1/chat/completions HTTP/1.0")).closes(),
        row("sound/http_1_0_kept", OK, |ask| {
            let sound = String::from_utf8(ask.sound()).unwrap();
            let kept = sound.replace("HTTP/1.1\r\n", "HTTP/1.0\r\nconnection: keep-alive\r\n");
            vec![Send(kept.into())]
        })
        .header("connection", "keep-alive"),
        row("sound/http_1_0_stream", OK, |ask| ask.started("POST /v1/chat/completions HTTP/1.0"))
            .live()
            .closes(),
    ]
}

/// Slower than the gateway waits.
fn slow() -> Vec<Row> {
    let late = &[(408, "request_timeout")];
    vec![
        row("slow/no_head", NOTHING, |_| vec![]).in_time(IMPATIENT),
        row("slow/half_a_head", NOTHING, |ask| vec![Send(ask.head("").as_bytes()[..40].to_vec())])
            .in_time(IMPATIENT),
        row("slow/dripping_head", NOTHING, |ask| {
            vec![Drip(ask.head(&"x: y\r\n".repeat(500)).into(), Duration::from_millis(20))]
        })
        .in_time(IMPATIENT),
        row("slow/second_head", OK, |ask| {
            vec![Send(ask.sound()), Wait(Duration::from_millis(100)), Send(b"POST /v1/ch".to_vec())]
        })
        .in_time(IMPATIENT),
        row("slow/no_body", late, |ask| vec![Send(ask.head(&ask.length()).into())]).in_time(IMPATIENT),
        row("slow/half_a_body", late, |ask| ask.sends(&ask.length(), &ask.body.as_bytes()[..20]))
            .in_time(IMPATIENT),
        row("slow/half_a_chunk", late, |ask| ask.sends("transfer-encoding: chunked\r\n", b"ff\r\n{"))
            .in_time(IMPATIENT),
        row("slow/dripping_body", late, |ask| {
            let body = [&b"{"[..], &vec![b' '; 100_000]].concat();
            let head = ask.head(&format!("content-length: {}\r\n", body.len()));
            vec![Send(head.into()), Drip(body, Duration::from_millis(100))]
        })
        .in_time(IMPATIENT),
        row("slow/no_body_after_100", &[(100, ""), (408, "request_timeout")], |ask| {
            vec![Send(ask.head(&(ask.length() + "expect: 100-continue\r\n")).into())]
        })
        .in_time(IMPATIENT),
        row("slow/idle", OK, |ask| vec![Send(ask.sound())]).in_time(IMPATIENT),
    ]
}

/// Clients that close their half.
fn half() -> Vec<Row> {
    vec![
        row("half_closed/behind_the_request", OK, |ask| vec![Send(ask.sound()), HalfClose]).closes(),
        row("half_closed/behind_the_request_for_a_stream", OK, |ask| vec![Send(ask.sound()), HalfClose])
            .live()
            .closes(),
        row("half_closed/in_the_body", &[(400, "invalid_body")], |ask| {
            vec![Send(ask.sound()[..ask.sound().len() - 5].to_vec()), HalfClose]
        })
        .closes(),
        row("half_closed/behind_two_requests", OK_TWICE, |ask| vec![Send(ask.sound().repeat(2)), HalfClose])
            .closes(),
    ]
}

impl Row {
    async fn run(self, world: &World) -> Result<(), Failed> {
        let way = Way { other: false, live: self.live };
        let model = format!("client.{}", self.name.replace('/', "."));
        let answer = way.answer();
        world.provider.will(&model, Script::new().write(way.head() + &length(answer.len()) + &answer));
        let name = format!("same/{model}");
        let ask = Ask { body: request(&name, self.live, 0), model: name };
        let begun = Instant::now();
        let (read, mut write) = tokio::io::split(world.connect(&["http/1.1"]).await?);
        let mut reader = Reader::new(read);
        let steps = (self.steps)(&ask);
        let sending = async {
            for step in steps {
                // Who is refused may not be read to the end.
                let _ = act(&mut write, step).await;
            }
            write
        };
        let reading = async {
            let mut seen = Vec::new();
            for _ in self.answers {
                let answer = timeout(self.time.1, self.answer(&mut reader)).await;
                match answer {
                    Ok(Some(answer)) => seen.push(answer),
                    Ok(None) => break,
                    Err(_) => return Err(format!("no answer behind {seen:?}")),
                }
            }
            // Open for a moment is open.
            let patience = if self.closes { self.time.1 } else { Duration::from_millis(30) };
            let closed = timeout(patience, reader.closed()).await.is_ok();
            Ok((seen, closed, begun.elapsed()))
        };
        let (reading, _write) = tokio::join!(reading, sending);
        let (seen, closed, took) = reading?;
        let said: Vec<(u16, &str)> =
            seen.iter().map(|(status, code, _, _)| (*status, code.as_str())).collect();
        let wrong = |what: String| Err(Failed::from(format!("{what}\nin {took:?}: {seen:?}")));
        if said != self.answers {
            return wrong(format!("expected {:?}", self.answers));
        }
        if closed != self.closes {
            return wrong(format!(
                "expected the connection to be {}",
                if self.closes { "closed" } else { "kept" }
            ));
        }
        if !(self.time.0..=self.time.1).contains(&took) {
            return wrong(format!("expected to take {:?}", self.time));
        }
        if let Some((name, value)) = self.header {
            let last = seen.last().and_then(|(_, _, head, _)| head.header(name));
            if last.as_deref() != Some(value) {
                return wrong(format!("expected `{name}: {value}`"));
            }
        }
        if seen.iter().any(|(_, _, head, body)| format!("{head:?} {body}").contains(KEY)) {
            return wrong("the key is shown".to_owned());
        }
        let served = self.answers.iter().filter(|(status, _)| *status == 200).count();
        let asked = world.provider.seen(&model).len();
        let expected = if self.bodiless { 0 } else { served };
        if asked != expected {
            return wrong(format!("the provider was asked {asked} times"));
        }
        let records = world.records(&ask.model);
        if records.len() != expected || records.iter().any(|record| record["status"] != 200) {
            return wrong(format!("expected {expected} records: {records:?}"));
        }
        Ok(())
    }

    /// Status, code, head and body of the next answer.
    async fn answer<R: tokio::io::AsyncRead + Unpin>(
        &self,
        reader: &mut Reader<R>,
    ) -> Option<(u16, String, Head, String)> {
        let mut head = reader.head().await?;
        // Whoever says no more may be asked whether it still listens.
        while self.name.starts_with("half_closed/") && head.start == "HTTP/1.1 100 Continue" {
            head = reader.head().await?;
        }
        let status: u16 = head.start.split(' ').nth(1)?.parse().ok()?;
        if status == 100 || self.bodiless {
            return Some((status, String::new(), head, String::new()));
        }
        let body = reader.body(&head, false).await.ok()?;
        let body = String::from_utf8_lossy(&body).into_owned();
        let code = match serde_json::from_str::<Value>(&body) {
            Ok(body) => body["error"]["code"].as_str().unwrap_or_default().to_owned(),
            Err(_) if status == 200 && self.live && body.ends_with("data: [DONE]\n\n") => String::new(),
            Err(_) if status != 200 && body.is_empty() => String::new(),
            Err(_) => "not JSON".to_owned(),
        };
        Some((status, code, head, body))
    }
}

async fn act<W: tokio::io::AsyncWrite + Unpin>(write: &mut W, step: Step) -> std::io::Result<()> {
    match step {
        Send(bytes) => {
            write.write_all(&bytes).await?;
            write.flush().await
        }
        Drip(bytes, pause) => {
            for byte in bytes.chunks(1) {
                write.write_all(byte).await?;
                write.flush().await?;
                tokio::time::sleep(pause).await;
            }
            Ok(())
        }
        Wait(pause) => {
            tokio::time::sleep(pause).await;
            Ok(())
        }
        HalfClose => write.shutdown().await,
    }
}
