//! What whole answers hold: nothing, pages, errors under a good status, compressed bytes.

use std::io::Write as _;

use crate::dialect::{CHUNKED, LAST, TEXT, Way, head, length, piece};
use crate::fault::Outcome::{Broken, Error, Exact};
use crate::fault::{Fault, fault};
use crate::provider::Script;

/// A whole answer of status 200.
fn says(media: &str, body: impl AsRef<[u8]>) -> Script {
    answers(200, media, body)
}

fn answers(status: u16, media: &str, body: impl AsRef<[u8]>) -> Script {
    let body = body.as_ref();
    Script::new().write([(head(status, media) + &length(body.len())).as_bytes(), body].concat())
}

fn json(body: impl AsRef<[u8]>) -> Script {
    says("application/json", body)
}

/// The answer, in a coding.
fn coded(way: Way, coding: &str, body: impl AsRef<[u8]>) -> Script {
    let body = body.as_ref();
    let head = way.head() + &format!("content-encoding: {coding}\r\n") + &length(body.len());
    Script::new().write([head.as_bytes(), body].concat())
}

pub(crate) fn gzip(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes.as_ref()).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

pub(crate) fn zlib(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes.as_ref()).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

/// Zstandard with one raw block for each piece of at most 64 KiB (RFC 8878, 3.1.1).
pub(crate) fn zstd(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    // A window of 128 KiB, no length, no checksum.
    let mut packed = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    let mut pieces = bytes.as_ref().chunks(64 << 10).peekable();
    while let Some(piece) = pieces.next() {
        let header = u32::try_from(piece.len() << 3 | usize::from(pieces.peek().is_none())).expect("small");
        packed.extend(&header.to_le_bytes()[..3]);
        packed.extend(piece);
    }
    packed
}

/// Brotli with one uncompressed metablock (RFC 7932, 9.2); for at most 64 KiB.
pub(crate) fn brotli(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    // Window of 16 bits `0`, not last `0`, four nibbles `00`, length minus one, uncompressed `1`.
    let header = ((bytes.len() - 1) << 4) | (1 << 20);
    let mut packed = u32::try_from(header).expect("small").to_le_bytes()[..3].to_vec();
    packed.extend(bytes);
    // Last `1`, empty `1`.
    packed.push(0b11);
    packed
}

pub(crate) fn faults() -> Vec<Fault> {
    [garbled(), shapes(), pages(), media(), codings()].concat()
}

/// No JSON, where JSON was asked for.
fn garbled() -> Vec<Fault> {
    let bad = || Error(502, "");
    vec![
        fault("body/empty", |_| json("")).bad(""),
        fault("body/empty_without_a_length", |way| Script::new().write(way.head() + "\r\n").close())
            .plain(bad())
            .live(Broken(""))
            .early(),
        fault("body/white_space", |_| json(" \r\n\t ")).bad(""),
        fault("body/null", |_| json("null")).bad(""),
        fault("body/true", |_| json("true")).bad(""),
        fault("body/number", |_| json("17")).bad(""),
        fault("body/text", |_| json("\"fine\"")).bad(""),
        fault("body/list", |_| json("[1,2]")).bad(""),
        fault("body/not_json", |_| json("all is well")).bad(""),
        fault("body/cut_in_the_middle", |way| {
            let answer = Way { live: false, ..way }.answer();
            json(&answer[..answer.len() / 2])
        })
        .bad(""),
        fault("body/cut_at_the_end", |way| {
            let answer = Way { live: false, ..way }.answer();
            json(&answer[..answer.len() - 1])
        })
        .bad(""),
        fault("body/cut_without_a_length", |way| {
            let answer = way.answer();
            Script::new().write(way.head() + "\r\n" + &answer[..answer.len() / 2]).close()
        })
        .plain(bad())
        .live(Broken(""))
        .early(),
        fault("body/two_documents", |way| json(Way { live: false, ..way }.answer().repeat(2))).bad(""),
        fault("body/nul_bytes", |_| json("\0\0\0\0")).bad(""),
        fault("body/not_utf8", |way| {
            let answer = Way { live: false, ..way }.answer();
            let at = answer.find(TEXT).unwrap();
            json([&answer.as_bytes()[..at], b"\xc3\x28", &answer.as_bytes()[at..]].concat())
        })
        .bad(""),
        fault("body/half_a_character", |way| {
            let answer = Way { live: false, ..way }.answer();
            let at = answer.find('€').unwrap();
            json([&answer.as_bytes()[..=at], b"\"}]}"].concat())
        })
        .bad(""),
        fault("body/utf16", |way| {
            let answer = Way { live: false, ..way }.answer();
            let units: Vec<u8> = answer.encode_utf16().flat_map(u16::to_le_bytes).collect();
            json([b"\xff\xfe", &units[..]].concat())
        })
        .bad(""),
        fault("body/200000_lists_deep", |_| json("[".repeat(200_000) + &"]".repeat(200_000))).bad(""),
        fault("body/200000_objects_deep", |_| json("{\"a\":".repeat(200_000) + "1" + &"}".repeat(200_000)))
            .bad(""),
        fault("body/200000_deep_and_cut", |_| json("{\"choices\":".to_owned() + &"[".repeat(200_000)))
            .bad(""),
        fault("body/200000_deep_in_the_answer", |way| {
            let answer = Way { live: false, ..way }.answer();
            let deep = format!("{{\"x\":{}{},", "[".repeat(200_000), "]".repeat(200_000));
            json(answer.replacen('{', &deep, 1))
        })
        .bad(""),
    ]
}

/// JSON, but no answer; or an error that says it is none.
fn shapes() -> Vec<Fault> {
    let busy = "Come back later";
    vec![
        fault("shape/empty_object", |_| json("{}")).bad(""),
        fault("shape/another_api", |_| json(r#"{"status":"ok","data":[]}"#)).bad(""),
        fault("shape/choices_null", |_| json(r#"{"id":"c1","choices":null}"#)).same().bad(""),
        fault("shape/choices_text", |_| json(r#"{"id":"c1","choices":"x"}"#)).same().bad(""),
        fault("shape/content_null", |_| json(r#"{"type":"message","id":"m","content":null}"#))
            .other()
            .bad(""),
        fault("shape/content_text", |_| json(r#"{"type":"message","id":"m","content":"x"}"#)).other().bad(""),
        fault("error/under_200", |way| json(way.error("Come back later"))).both(Error(502, "")).shows(busy),
        fault("error/text_under_200", |_| json(r#"{"error":"Come back later"}"#)).bad(""),
        fault("error/empty_body", |_| answers(503, "application/json", "")).both(Error(503, "")),
        fault("error/no_json", |_| answers(500, "application/json", "{")).both(Error(500, "")),
        fault("error/text", |_| answers(429, "text/plain", "Come back later\n"))
            .both(Error(429, ""))
            .shows(busy),
        fault("error/as_events", |way| answers(529, "text/event-stream", way.error_event("Come back later")))
            .same()
            .both(Error(529, ""))
            .class("overloaded"),
        fault("error/cut", |way| {
            Script::new().write(head(429, "application/json") + &length(999) + &way.error("x")[..20]).close()
        })
        .both(Error(429, "")),
        fault("error/silent_in_the_middle", |_| {
            Script::new().write(head(429, "application/json") + &length(999) + "{\"error\"").hold()
        })
        .in_time()
        .both(Error(429, "")),
        fault("error/endless", |_| {
            Script::new().write(head(500, "text/plain") + "\r\n").pour("x".repeat(64 << 10), 4096)
        })
        .both(Error(500, "")),
        fault("error/deep", |_| answers(400, "application/json", "[".repeat(200_000))).both(Error(400, "")),
        fault("error/gzip", |way| {
            let body = gzip(way.error("Come back later"));
            let head = head(400, "application/json") + "content-encoding: gzip\r\n" + &length(body.len());
            Script::new().write([head.as_bytes(), &body].concat())
        })
        .both(Error(400, ""))
        .shows(busy),
        fault("error/gzip_cut", |way| {
            let body = gzip(way.error("Come back later"));
            let head = head(400, "application/json") + "content-encoding: gzip\r\n" + &length(body.len() / 2);
            Script::new().write([head.as_bytes(), &body[..body.len() / 2]].concat())
        })
        .both(Error(400, "")),
        fault("error/unknown_coding", |way| {
            let body = way.error("Come back later");
            let head = head(400, "application/json") + "content-encoding: rot13\r\n" + &length(body.len());
            Script::new().write(head + &body)
        })
        .both(Error(400, "")),
    ]
}

const PAGE: &str =
    "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>internal host db-seven</body></html>";

/// Pages of whoever stands in between.
fn pages() -> Vec<Fault> {
    fn page(status: u16, media: &str) -> Script {
        answers(status, media, PAGE)
    }
    let hidden = "db-seven";
    vec![
        fault("page/under_200", |_| page(200, "text/html")).bad("").hides(hidden),
        fault("page/under_200_as_json", |_| page(200, "application/json")).bad("").hides(hidden),
        fault("page/under_200_of_no_type", |_| {
            Script::new().write("HTTP/1.1 200 OK\r\n".to_owned() + &length(PAGE.len()) + PAGE)
        })
        .plain(Error(502, ""))
        .live(Broken(""))
        .hides(hidden)
        .early(),
        fault("page/under_200_as_events", |_| page(200, "text/event-stream"))
            .plain(Error(502, ""))
            .live(Broken(""))
            .hides(hidden)
            .early(),
        fault("page/403", |_| page(403, "text/html; charset=utf-8")).both(Error(403, "")).hides(hidden),
        fault("page/404_as_json", |_| page(404, "application/json")).both(Error(404, "")).hides(hidden),
        fault("page/500", |_| page(500, "text/html")).both(Error(500, "")).hides(hidden),
        fault("page/502", |_| page(502, "text/html")).both(Error(502, "")).hides(hidden),
        fault("page/503", |_| page(503, "text/html")).both(Error(503, "")).hides(hidden),
        fault("page/504", |_| page(504, "text/html")).both(Error(504, "")).hides(hidden),
    ]
}

/// The right answer under a wrong name.
fn media() -> Vec<Fault> {
    fn named(way: Way, media: &str) -> Script {
        answers(200, media, way.answer())
    }
    vec![
        fault("type/none", |way| {
            let answer = way.answer();
            Script::new().write("HTTP/1.1 200 OK\r\n".to_owned() + &length(answer.len()) + &answer)
        })
        .exact(),
        fault("type/empty", |way| named(way, "")).exact(),
        fault("type/text", |way| named(way, "text/plain")).exact(),
        fault("type/bytes", |way| named(way, "application/octet-stream")).exact(),
        fault("type/nonsense", |way| named(way, ";;;/")).exact(),
        fault("type/of_a_stream", |way| named(way, "text/event-stream")).exact(),
        fault("type/with_charset", |way| named(way, &format!("{}; charset=UTF-8", way.media()))).exact(),
        fault("type/of_json_for_a_stream", |way| named(way, "application/json")).live(Error(502, "")),
        fault("type/of_html_for_the_answer", |way| named(way, "text/html")).bad(""),
        // Whole where a stream was asked for, and the other way round.
        fault("type/whole_answer_to_a_stream", |way| json(Way { live: false, ..way }.answer()))
            .live(Error(502, "upstream_not_stream")),
        fault("type/whole_answer_to_a_stream_of_no_type", |way| {
            says("text/plain", Way { live: false, ..way }.answer())
        })
        .live(Error(502, "upstream_not_stream")),
        fault("type/stream_to_a_whole_request", |way| {
            says("text/event-stream", Way { live: true, ..way }.answer())
        })
        .plain(Error(502, "")),
        fault("type/error_to_a_stream", |way| json(way.error("Come back later")))
            .live(Error(502, ""))
            .shows("Come back later"),
    ]
}

/// Compressed, though nobody asked, or not as it is said.
fn codings() -> Vec<Fault> {
    vec![
        fault("coding/gzip", |way| coded(way, "gzip", gzip(way.answer()))).exact(),
        fault("coding/gzip_in_small_letters_or_not", |way| coded(way, "X-GZip", gzip(way.answer()))).exact(),
        fault("coding/gzip_in_two_members", |way| {
            let answer = way.answer();
            let (left, right) = answer.split_at(20);
            coded(way, "gzip", [gzip(left), gzip(right)].concat())
        })
        .exact(),
        fault("coding/deflate", |way| coded(way, "deflate", zlib(way.answer()))).exact(),
        fault("coding/br", |way| coded(way, "br", brotli(way.answer()))).exact(),
        fault("coding/zstd", |way| coded(way, "zstd", zstd(way.answer()))).exact(),
        fault("coding/identity", |way| coded(way, "identity", way.answer())).exact(),
        fault("coding/gzip_in_chunks", |way| {
            let packed = gzip(way.answer());
            let chunks: Vec<u8> = packed.chunks(3).flat_map(piece).collect();
            Script::new().write(way.head() + "content-encoding: gzip\r\n" + CHUNKED).write(chunks).write(LAST)
        })
        .exact(),
        fault("coding/unknown", |way| coded(way, "rot13", way.answer())).bad("upstream_encoding"),
        fault("coding/two", |way| coded(way, "gzip, gzip", gzip(gzip(way.answer()))))
            .bad("upstream_encoding"),
        fault("coding/two_headers", |way| coded(way, "gzip\r\ncontent-encoding: br", gzip(way.answer())))
            .bad("upstream_encoding"),
        fault("coding/gzip_that_is_none", |way| coded(way, "gzip", way.answer()))
            .breaks("upstream_cut")
            .early(),
        fault("coding/gzip_unsaid", |way| says(way.media(), gzip(way.answer())))
            .plain(Error(502, ""))
            .live(Broken(""))
            .early(),
        fault("coding/gzip_cut", |way| {
            let packed = gzip(way.answer());
            coded(way, "gzip", &packed[..packed.len() / 2])
        })
        .breaks("upstream_cut")
        .early(),
        fault("coding/gzip_without_its_sum", |way| {
            let packed = gzip(way.answer());
            coded(way, "gzip", &packed[..packed.len() - 8])
        })
        .plain(Error(502, "upstream_cut"))
        // All of the stream had been read before.
        .live(Exact),
        fault("coding/gzip_with_a_wrong_sum", |way| {
            let mut packed = gzip(way.answer());
            let at = packed.len() - 6;
            packed[at] ^= 0x55;
            coded(way, "gzip", packed)
        })
        .plain(Error(502, "upstream_cut")),
        fault("coding/zstd_cut", |way| {
            let packed = zstd(way.answer());
            coded(way, "zstd", &packed[..packed.len() - 5])
        })
        .breaks("upstream_cut")
        .early(),
        fault("coding/br_cut", |way| {
            let packed = brotli(way.answer());
            coded(way, "br", &packed[..packed.len() / 2])
        })
        .breaks("upstream_cut")
        .early(),
        fault("coding/gzip_of_nothing", |way| coded(way, "gzip", gzip("")))
            .plain(Error(502, ""))
            .live(Broken(""))
            .early(),
        fault("coding/gzip_bomb", |way| coded(way, "gzip", bomb()))
            .plain(Error(502, "upstream_too_large"))
            .live(Broken(""))
            .early(),
    ]
}

/// 256 MiB of white space in 256 KiB.
pub(crate) fn bomb() -> Vec<u8> {
    gzip(vec![b' '; 1 << 20]).repeat(256)
}
