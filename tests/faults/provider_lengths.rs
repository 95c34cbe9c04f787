//! Where an answer ends: lengths that conflict or lie, chunks that are none, bytes that belong to nobody.

use crate::dialect::{CHUNKED, LAST, Way, length, piece};
use crate::fault::Outcome::{Broken, Error, Exact};
use crate::fault::{Fault, fault};
use crate::provider::Script;

/// The answer, of which these headers tell the length.
fn headed(way: Way, headers: &str) -> Script {
    Script::new().write(way.head() + headers + "\r\n" + &way.answer())
}

/// The answer's length `by` bytes wrong.
fn off(way: Way, by: isize) -> String {
    length(way.answer().len().strict_add_signed(by))
}

/// The answer in chunks, and what comes then.
fn chunked(way: Way, rest: &str) -> Script {
    let answer = way.answer();
    let (left, right) = answer.split_at(answer.find("m-1").unwrap_or_default());
    Script::new().write(way.head() + CHUNKED).write(piece(left)).write(piece(right)).write(rest)
}

/// Half of the answer in chunks, and what comes then.
fn begun(way: Way, rest: &str) -> Script {
    let begin = if way.live { way.begin() } else { "{\"id\":".to_owned() };
    Script::new().write(way.head() + CHUNKED).write(piece(begin)).write(rest)
}

pub(crate) fn faults() -> Vec<Fault> {
    [lengths(), behind(), chunks(), ends()].concat()
}

fn lengths() -> Vec<Fault> {
    let bad = "upstream_malformed";
    vec![
        fault("length/twice_the_same", |way| {
            let bytes = way.answer().len();
            headed(way, &format!("content-length: {bytes}\r\ncontent-length: {bytes}\r\n"))
        })
        .exact(),
        fault("length/twice_and_different", |way| {
            let bytes = way.answer().len();
            headed(way, &format!("content-length: {bytes}\r\ncontent-length: {}\r\n", bytes + 1)).close()
        })
        .bad(bad),
        fault("length/list_of_different_ones", |way| {
            let bytes = way.answer().len();
            headed(way, &format!("content-length: {bytes}, {}\r\n", bytes + 1)).close()
        })
        .bad(bad),
        fault("length/negative", |way| headed(way, "content-length: -1\r\n").close()).bad(bad),
        fault("length/with_plus", |way| headed(way, "content-length: +10\r\n").close()).bad(bad),
        fault("length/hexadecimal", |way| headed(way, "content-length: 0x10\r\n").close()).bad(bad),
        fault("length/empty", |way| headed(way, "content-length:\r\n").close()).bad(bad),
        fault("length/beyond_64_bits", |way| headed(way, "content-length: 18446744073709551616\r\n").close())
            .bad(bad),
        fault("length/64_bits", |way| headed(way, "content-length: 18446744073709551615\r\n").close())
            .bad(bad),
        fault("length/and_chunked", |way| {
            let answer = way.answer();
            let head = way.head() + "content-length: 5\r\n" + CHUNKED;
            Script::new().write(head).write(piece(answer)).write(LAST)
        })
        .bad(bad),
        fault("length/chunked_and_length", |way| {
            let head = way.head() + "transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n";
            Script::new().write(head).write(piece(way.answer())).write(LAST)
        })
        .bad(bad),
        fault("length/chunked_in_http_1_0", |way| {
            let head = way.head().replace("HTTP/1.1", "HTTP/1.0") + CHUNKED;
            Script::new().write(head).write(piece(way.answer())).write(LAST).close()
        })
        .bad(bad),
        fault("length/of_unknown_coding", |way| {
            let head = way.head() + "transfer-encoding: xchunked\r\n\r\n";
            Script::new().write(head).write(piece(way.answer())).write(LAST).close()
        })
        .bad(bad),
        fault("length/coding_in_front_of_chunked", |way| {
            let head = way.head() + "transfer-encoding: gzip, chunked\r\n\r\n";
            Script::new().write(head).write(piece(way.answer())).write(LAST).close()
        })
        .bad(bad),
        fault("length/chunked_is_not_last", |way| {
            let head = way.head() + "transfer-encoding: chunked, identity\r\n\r\n";
            Script::new().write(head).write(piece(way.answer())).write(LAST).close()
        })
        .bad(bad),
        fault("length/beyond_the_limit", |way| headed(way, "content-length: 201326592\r\n").hold())
            .plain(Error(502, "upstream_too_large")),
        fault("length/none_until_the_end", |way| headed(way, "").close()).exact().spoils(),
    ]
}

fn behind() -> Vec<Fault> {
    vec![
        fault("length/one_byte_short", |way| Script::new().write(way.head() + &off(way, -1) + &way.answer()))
            .plain(Error(502, ""))
            // The last byte of a stream is half of an empty line.
            .live(Exact)
            .spoils(),
        fault("length/short_in_the_text", |way| {
            let begin = way.begin();
            Script::new().write(way.head() + &length(begin.len()) + &way.answer())
        })
        .live(Broken(""))
        .spoils(),
        fault("length/one_byte_long", |way| {
            Script::new().write(way.head() + &off(way, 1) + &way.answer()).close()
        })
        .plain(Error(502, "upstream_cut"))
        .live(Exact),
        fault("length/one_byte_long_and_silent", |way| {
            Script::new().write(way.head() + &off(way, 1) + &way.answer()).hold()
        })
        .in_time()
        .plain(Error(504, "upstream_idle")),
        fault("length/of_nothing", |way| Script::new().write(way.head() + &length(0))).bad(""),
        fault("behind/bytes", |way| {
            Script::new().write(way.head() + &off(way, 0) + &way.answer() + "\r\nmore\r\n")
        })
        .exact()
        .spoils(),
        fault("behind/another_answer", |way| {
            let answer = way.head() + &off(way, 0) + &way.answer();
            Script::new().write(answer.repeat(2))
        })
        .exact()
        .spoils(),
        fault("behind/bytes_behind_chunks", |way| chunked(way, LAST).write("more")).exact().spoils(),
        fault("behind/another_answer_behind_chunks", |way| {
            chunked(way, LAST).write(way.head() + &off(way, 0) + &way.answer())
        })
        .exact()
        .spoils(),
    ]
}

fn chunks() -> Vec<Fault> {
    vec![
        fault("chunk/well", |way| chunked(way, LAST)).exact(),
        fault("chunk/byte_by_byte", |way| {
            let script = Script::new().write(way.head() + CHUNKED);
            let bytes = way.answer().into_bytes();
            script.write(bytes.chunks(1).flat_map(piece).collect::<Vec<u8>>()).write(LAST)
        })
        .exact(),
        fault("chunk/dripping", |way| {
            Script::new().write(way.head() + CHUNKED).drip(piece(way.answer())).drip(LAST)
        })
        .exact(),
        fault("chunk/with_extension", |way| {
            let answer = way.answer();
            let size = format!("{:X};a=b;c=\"d\"\r\n", answer.len());
            Script::new().write(way.head() + CHUNKED + &size + &answer + "\r\n0;e\r\n\r\n")
        })
        .exact(),
        fault("chunk/with_trailers", |way| chunked(way, "0\r\nx-checksum: 1\r\nx-request-id: late\r\n\r\n"))
            .exact()
            .hides("late"),
        fault("chunk/endless_extension", |way| begun(way, "5;").pour("x".repeat(4096), 4096))
            .breaks("upstream_cut"),
        fault("chunk/endless_trailers", |way| begun(way, "0\r\n").pour("x: y\r\n".repeat(700), 4096))
            .breaks("upstream_cut"),
        fault("chunk/size_of_letters", |way| begun(way, "xyz\r\n").hold()).breaks("upstream_cut"),
        fault("chunk/size_beyond_64_bits", |way| begun(way, "fffffffffffffffff\r\n").hold())
            .breaks("upstream_cut"),
        fault("chunk/negative_size", |way| begun(way, "-5\r\n").hold()).breaks("upstream_cut"),
        fault("chunk/size_missing", |way| begun(way, "\r\n\r\n").hold()).breaks("upstream_cut"),
        fault("chunk/longer_than_it_says", |way| begun(way, "2\r\nabcdef\r\n").hold()).breaks("upstream_cut"),
        fault("chunk/cut_in_the_size", |way| begun(way, "5").close()).breaks("upstream_cut"),
        fault("chunk/cut_in_the_bytes", |way| begun(way, "5\r\nab").close()).breaks("upstream_cut"),
        fault("chunk/cut_behind_the_bytes", |way| begun(way, "").close()).breaks("upstream_cut"),
        fault("chunk/reset", |way| begun(way, "5\r\nab").reset()).breaks("upstream_cut"),
        fault("chunk/half_closed", |way| begun(way, "").half_close().hold()).breaks("upstream_cut"),
        fault("chunk/silent_in_the_size", |way| begun(way, "5").hold()).in_time().idle(),
        fault("chunk/silent_in_the_bytes", |way| begun(way, "5\r\nab").hold()).in_time().idle(),
        fault("chunk/silent_between", |way| begun(way, "").hold()).in_time().idle(),
    ]
}

/// The last chunk, which says that nothing is missing.
fn ends() -> Vec<Fault> {
    vec![
        // Of a stream that has said `[DONE]` nothing can be missing.
        fault("chunk/last_one_missing", |way| chunked(way, "").close())
            .plain(Error(502, "upstream_cut"))
            .live(Exact)
            .spoils(),
        fault("chunk/last_one_cut", |way| chunked(way, "0\r\n").close())
            .plain(Error(502, "upstream_cut"))
            .live(Exact)
            .spoils(),
        fault("chunk/last_one_late", |way| chunked(way, "").hold())
            .in_time()
            .plain(Error(504, "upstream_idle")),
        fault("chunk/last_one_late_in_a_stream", |way| chunked(way, "").hold()).hasty().live(Exact).spoils(),
    ]
}
