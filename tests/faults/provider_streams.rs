//! Streams: odd but sound, cut, silent, with errors in them, and endless.

use std::time::Duration;

use crate::dialect::{CHUNKED, LAST, TEXT, Way, chunk, data, event, piece};
use crate::fault::Outcome::{Broken, Error, Exact};
use crate::fault::{Fault, fault};
use crate::provider::Script;
use crate::world::EVENT_BYTES;

/// A stream in pieces; its end is said.
fn stream(way: Way, pieces: &[&str]) -> Script {
    open(way, pieces).write(LAST)
}

/// A stream in pieces that goes on.
fn open(way: Way, pieces: &[&str]) -> Script {
    pieces.iter().fold(Script::new().write(way.head() + CHUNKED), |script, text| script.write(piece(text)))
}

/// A stream with something in its middle.
fn amid(way: Way, middle: &str) -> Script {
    stream(way, &[&way.begin(), middle, &way.stop(), &way.done()])
}

/// A stream with something in front.
fn after(way: Way, first: &str) -> Script {
    stream(way, &[first, &way.begin(), &way.stop(), &way.done()])
}

pub(crate) fn faults() -> Vec<Fault> {
    let all = [odd(), errors(), cuts(), silence(), endless(), binary(), lines()];
    all.concat()
}

/// Nobody would write it so, but nothing is missing.
fn odd() -> Vec<Fault> {
    let exact = |name, script| fault(name, script).live(Exact);
    vec![
        exact("stream/in_one_write", |way| {
            let all: Vec<u8> = [way.begin(), way.stop(), way.done()].iter().flat_map(piece).collect();
            Script::new().write([(way.head() + CHUNKED).as_bytes(), &all, LAST.as_bytes()].concat())
        }),
        exact("stream/byte_by_byte", |way| {
            Script::new().write(way.head() + "\r\n").drip(way.answer()).close()
        }),
        exact("stream/split_in_a_character", |way| {
            let begin = way.begin();
            let at = begin.find('😀').unwrap() + 2;
            let (left, right) = (begin.as_bytes()[..at].to_vec(), begin.as_bytes()[at..].to_vec());
            let script = Script::new().write(way.head() + CHUNKED).write(piece(left)).write(piece(right));
            script.write(piece(way.stop())).write(piece(way.done())).write(LAST)
        }),
        exact("stream/crlf", |way| stream(way, &[&way.answer().replace('\n', "\r\n")])),
        exact("stream/cr", |way| stream(way, &[&way.answer().replace('\n', "\r")])),
        exact("stream/split_in_crlf", |way| {
            let answer = way.answer().replace('\n', "\r\n");
            let pieces: Vec<&str> = answer.split_inclusive('\r').collect();
            stream(way, &pieces)
        }),
        exact("stream/byte_order_mark", |way| after(way, "\u{feff}")),
        exact("stream/empty_lines_first", |way| after(way, "\n\n\r\n\n")),
        exact("stream/empty_lines_between", |way| amid(way, "\n\n\r\n\n")),
        exact("stream/no_space_behind_colons", |way| {
            stream(way, &[&way.answer().replace("data: ", "data:").replace("event: ", "event:")])
        }),
        exact("stream/comment_first", |way| after(way, ": hello\n\n")),
        exact("stream/comment_in_an_event", |way| {
            stream(way, &[&way.answer().replace("data: ", ": hello\ndata: ")])
        }),
        exact("stream/ids_and_retries", |way| {
            stream(way, &[&way.answer().replace("data: ", "id: 7\nretry: 10\ndata: ")])
        }),
        exact("stream/unknown_fields", |way| {
            stream(way, &[&way.answer().replace("data: ", "x-y: z\ndata\u{7f}: 1\ndata: ")])
        }),
        exact("stream/data_in_lines", |way| stream(way, &[&way.answer().replace(",\"", ",\ndata: \"")])),
        exact("stream/empty_events", |way| amid(way, "data:\n\ndata: \n\nevent: x\n\n")),
        exact("stream/pings", |way| amid(way, &way.ping().repeat(1000))),
        exact("stream/no_done", |way| stream(way, &[&way.begin(), &way.stop()])),
        exact("stream/no_done_and_closed", |way| {
            Script::new().write(way.head() + "\r\n" + &way.begin() + &way.stop()).close()
        }),
        exact("stream/no_last_empty_line", |way| {
            stream(way, &[&way.begin(), &way.stop(), way.done().trim_end()])
        }),
        exact("stream/no_last_empty_line_nor_done", |way| {
            stream(way, &[&way.begin(), way.stop().trim_end()])
        }),
        exact("stream/more_behind_done", |way| stream(way, &[&way.answer(), &way.says("more")])),
        exact("stream/done_twice", |way| stream(way, &[&way.answer(), &way.done()])),
        exact("stream/more_behind_done_for_ever", |way| {
            open(way, &[&way.answer()]).pour(piece(": more\n\n"), 1 << 20)
        }),
        exact("stream/unknown_events", |way| amid(way, &event("x_new", r#"{"type":"x_new","y":[1]}"#)))
            .other(),
        exact("stream/no_choices", |way| {
            amid(
                way,
                &data(
                    r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[]}"#,
                ),
            )
        })
        .same(),
    ]
}

/// Errors that the provider tells.
fn errors() -> Vec<Fault> {
    let told = |name, script| fault(name, script).live(Broken("")).shows("Come back later");
    vec![
        told("stream/error_first", |way| stream(way, &[&way.error_event("Come back later")])).early(),
        told("stream/error_first_and_held", |way| open(way, &[&way.error_event("Come back later")]).hold())
            .early(),
        told("stream/error_in_the_middle", |way| {
            stream(way, &[&way.begin(), &way.error_event("Come back later")])
        }),
        told("stream/error_and_more", |way| {
            let error = way.error_event("Come back later");
            stream(way, &[&way.begin(), &error, &way.says("and so on"), &way.stop(), &way.done()])
        })
        .hides("and so on"),
        told("stream/error_behind_the_reason", |way| {
            stream(way, &[&way.begin(), &way.stop(), &way.error_event("Come back later"), &way.done()])
        }),
        told("stream/error_of_another_name", |way| {
            stream(way, &[&way.begin(), &event("error", r#"{"message":"Come back later"}"#)])
        })
        .same(),
        told("stream/error_as_text", |_| {
            let way = Way { other: false, live: true };
            stream(way, &[&way.begin(), &data(r#"{"error":"Come back later"}"#), "data: [DONE]\n\n"])
        })
        .same(),
        told("stream/error_without_a_frame", |way| {
            stream(way, &[&way.begin(), &way.error("Come back later"), "\n\n"])
        }),
        told("stream/error_without_a_frame_first", |way| stream(way, &[&way.error("Come back later")]))
            .early(),
        told("stream/error_without_a_frame_first_and_held", |way| {
            open(way, &["\u{feff}", &way.error("Come back later"), "\r\n\r\n"]).hold()
        })
        .early(),
        told("stream/error_without_a_frame_and_done", |way| {
            stream(way, &[&way.error("Come back later"), "\n\n", &way.done()])
        })
        .early(),
        told("stream/error_without_a_frame_in_lines", |way| {
            let error = way.error("Come back later").replace('{', "{\n  ").replace(',', ",\n  ");
            stream(way, &[&error])
        })
        .early(),
        told("stream/error_without_a_frame_with_a_class", |way| {
            let kind = if way.other { "rate_limit_error" } else { "rate_limit_exceeded" };
            stream(way, &[&way.error("Come back later").replace("some_error", kind)])
        })
        .live(Error(429, "")),
        fault("stream/error_without_a_frame_too_large", |way| {
            open(way, &[&way.error("x")[..10]]).pour(piece("x".repeat(60_000)), 4096)
        })
        .live(Broken(""))
        .early(),
        fault("stream/json_without_a_frame", |way| stream(way, &[r#"{"status":"ok"}"#, "\n\n"]))
            .live(Broken(""))
            .early(),
        fault("stream/whole_answer_without_a_frame", |way| {
            stream(way, &[&Way { live: false, ..way }.answer()])
        })
        .live(Error(502, "upstream_not_stream")),
        fault("stream/whole_answer_without_a_frame_in_the_middle", |way| {
            amid(way, &(Way { live: false, ..way }.answer() + "\n\n"))
        })
        .live(Exact),
        fault("stream/json_without_a_frame_in_the_middle", |way| amid(way, "{\"status\":\"ok\"}\n\n"))
            .live(Exact),
        fault("stream/page_without_a_frame", |way| stream(way, &["<html>Bad gateway</html>\n\n"]))
            .live(Broken(""))
            .hides("Bad gateway")
            .early(),
        fault("stream/event_of_garbage", |way| amid(way, &data("{not json"))).live(Broken("")).hides("{not"),
        fault("stream/event_cut", |way| amid(way, "data: {\"id\":\"c1\",\"cho\n\n")).live(Broken("")),
        fault("stream/event_not_utf8", |way| {
            let script = open(way, &[&way.begin()]).write(piece(b"data: {\"a\":\"\xc3\x28\"}\n\n"));
            script.write(piece(way.stop())).write(piece(way.done())).write(LAST)
        })
        .live(Broken("")),
        fault("stream/event_with_half_a_pair", |way| amid(way, &data(r#"{"id":"\ud800"}"#))).live(Broken("")),
        fault("stream/event_deep", |way| amid(way, &data(&("[".repeat(20_000) + &"]".repeat(20_000)))))
            .live(Broken("")),
        fault("stream/event_200000_deep", |way| amid(way, &data(&"{\"a\":".repeat(200_000))))
            .live(Broken("")),
        fault("stream/nothing_but_done", |way| stream(way, &[&way.done()])).live(Broken("")).early(),
        // The last word says itself that nothing is missing.
        fault("stream/done_before_the_reason", |way| stream(way, &[&way.begin(), &way.done()]))
            .other()
            .live(Exact),
    ]
}

/// Ends before the end.
fn cuts() -> Vec<Fault> {
    let cut = |name, script| fault(name, script).live(Broken("upstream_cut"));
    let ends = |name, script| fault(name, script).live(Broken(""));
    vec![
        ends("cut/ended_before_anything", |way| stream(way, &[])).early(),
        ends("cut/ended_behind_comments", |way| stream(way, &[": hello\n\n"])).other().early(),
        // Comments pass.
        ends("cut/ended_behind_comments", |way| stream(way, &[": hello\n\n"])).same(),
        ends("cut/ended_in_the_text", |way| stream(way, &[&way.begin()])),
        ends("cut/ended_in_an_event", |way| stream(way, &[&way.begin(), &way.stop()[..30]])),
        ends("cut/ended_in_a_character", |way| {
            let more = way.says("😀");
            let at = more.find('😀').unwrap() + 2;
            let script = open(way, &[&way.begin()]);
            script.write(piece(&more.as_bytes()[..at])).write(LAST)
        }),
        ends("cut/ended_with_one_choice_of_two", |way| {
            let other = chunk(r#"{"index":1,"delta":{"content":"b"},"finish_reason":null}"#);
            stream(way, &[&way.begin(), &data(&other), &way.stop()])
        })
        .same()
        .choices(2),
        ends("cut/closed_in_the_text", |way| Script::new().write(way.head() + "\r\n" + &way.begin()).close()),
        cut("cut/closed_before_anything", |way| open(way, &[]).close()).early(),
        cut("cut/closed_in_chunks", |way| open(way, &[&way.begin()]).close()),
        cut("cut/closed_in_an_event", |way| open(way, &[&way.begin(), "data: {\"id\""]).close()),
        cut("cut/reset_in_the_text", |way| open(way, &[&way.begin()]).reset()),
        cut("cut/closed_behind_the_reason", |way| open(way, &[&way.begin(), &way.stop()]).close()),
        cut("cut/short_of_its_length", |way| {
            Script::new().write(way.head() + "content-length: 9999\r\n\r\n" + &way.begin()).close()
        }),
        fault("cut/closed_behind_done", |way| open(way, &[&way.answer()]).close()).live(Exact).spoils(),
        fault("cut/reset_behind_done", |way| open(way, &[&way.answer()]).reset()).live(Exact),
    ]
}

/// Nothing for too long; or little, for long.
fn silence() -> Vec<Fault> {
    let idle = |name, script| fault(name, script).in_time().live(Broken("upstream_idle"));
    let beat = Duration::from_millis(200);
    vec![
        idle("silence/behind_the_head", |way| open(way, &[]).hold()).early(),
        idle("silence/in_the_text", |way| open(way, &[&way.begin()]).hold()),
        idle("silence/in_an_event", |way| open(way, &[&way.begin(), "data: {\"id\""]).hold()),
        fault("silence/behind_done", |way| open(way, &[&way.answer()]).hold()).hasty().live(Exact).spoils(),
        // Longer than the limit, but alive.
        fault("silence/comments_first", |way| {
            let script = open(way, &[]).tick(piece(": wait\n\n"), Duration::from_millis(200), 8);
            script.write(piece(way.answer())).write(LAST)
        })
        .hasty()
        .takes(beat * 8)
        .live(Exact),
        fault("silence/comments_in_the_text", |way| {
            let script = open(way, &[&way.begin()]).tick(piece(": wait\n\n"), Duration::from_millis(200), 8);
            script.write(piece(way.stop() + &way.done())).write(LAST)
        })
        .hasty()
        .takes(beat * 8)
        .live(Exact),
        fault("silence/pings_in_the_text", |way| {
            let script = open(way, &[&way.begin()]).tick(piece(way.ping()), Duration::from_millis(200), 8);
            script.write(piece(way.stop() + &way.done())).write(LAST)
        })
        .hasty()
        .takes(beat * 8)
        .live(Exact),
    ]
}

/// More than fits.
fn endless() -> Vec<Fault> {
    vec![
        fault("endless/line", |way| {
            open(way, &[&way.begin(), "data: "]).pour(piece("x".repeat(60_000)), 4096)
        })
        .live(Broken("")),
        fault("endless/line_of_no_field", |way| open(way, &[]).pour(piece("x".repeat(60_000)), 4096))
            .live(Broken(""))
            .early(),
        fault("endless/comment", |way| {
            open(way, &[&way.begin(), ": "]).pour(piece("x".repeat(60_000)), 4096)
        })
        .live(Broken("")),
        fault("endless/event", |way| open(way, &[&way.begin()]).pour(piece("data: x\n".repeat(5_000)), 4096))
            .live(Broken("")),
        fault("endless/fields", |way| open(way, &[&way.begin()]).pour(piece("x: y\n".repeat(5_000)), 4096))
            .live(Broken("")),
        fault("endless/event_too_large", |way| amid(way, &way.says(&"x".repeat(EVENT_BYTES + 100))))
            .live(Broken("")),
        fault("endless/event_that_fits", |way| {
            let pad = format!("{{\"pad\":\"{}\",", "x".repeat(EVENT_BYTES - 1000));
            stream(way, &[&way.answer().replacen('{', &pad, 1)])
        })
        .live(Exact),
        fault("endless/choices", |way| {
            let many: String = (0..5_000)
                .map(|n| {
                    data(&chunk(&format!(
                        r#"{{"index":{n},"delta":{{"content":"b"}},"finish_reason":null}}"#
                    )))
                })
                .collect();
            stream(way, &[&many])
        })
        .same()
        .live(Broken("")),
    ]
}

/// Frames in bytes, with sums.
fn binary() -> Vec<Fault> {
    let cut = |name, script| fault(name, script).at_all("binary").live(Broken(""));
    vec![
        fault("binary/well", |_| frames(&[&start(), &text(), &stop(), &usage()]))
            .at_all("binary")
            .live(Exact),
        fault("binary/byte_by_byte", |_| {
            let all = [start(), text(), stop(), usage()].concat();
            Script::new().write(BINARY.to_owned() + "\r\n").drip(all).close()
        })
        .at_all("binary")
        .live(Exact),
        cut("binary/cut_in_the_text", |_| frames(&[&start(), &text()])),
        cut("binary/cut_in_a_frame", |_| frames(&[&start(), &text(), &stop()[..20]])),
        cut("binary/cut_behind_the_reason_in_a_frame", |_| {
            frames(&[&start(), &text(), &stop(), &usage()[..30]])
        }),
        cut("binary/cut_behind_the_reason_in_a_length", |_| {
            frames(&[&start(), &text(), &stop(), &usage()[..3]])
        }),
        cut("binary/wrong_sum", |_| {
            let mut wrong = text();
            let last = wrong.len() - 1;
            wrong[last] ^= 1;
            frames(&[&start(), &wrong, &stop(), &usage()])
        })
        .early(),
        cut("binary/wrong_sum_of_lengths", |_| {
            let mut wrong = text();
            wrong[9] ^= 1;
            frames(&[&start(), &wrong, &stop(), &usage()])
        })
        .early(),
        cut("binary/length_of_4_gib", |_| {
            let mut wrong = vec![0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
            wrong.extend(crc32(&wrong).to_be_bytes());
            frames(&[&start(), &wrong]).pour("x".repeat(4096), 64)
        })
        .early(),
        cut("binary/text_instead_of_frames", |_| frames(&[b"data: {}\n\ndata: [DONE]\n\n"])).early(),
        cut("binary/exception", |_| {
            frames(&[
                &start(),
                &text(),
                &frame("exception", "throttlingException", r#"{"message":"Slow down"}"#),
            ])
        })
        .shows("Slow down")
        .class("rate_limit"),
    ]
}

const BINARY: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\n";

fn frames(frames: &[&[u8]]) -> Script {
    let script = Script::new().write(BINARY.to_owned() + CHUNKED);
    frames.iter().fold(script, |script, frame| script.write(piece(frame))).write(LAST)
}

fn start() -> Vec<u8> {
    frame("event", "messageStart", r#"{"role":"assistant"}"#)
}

fn text() -> Vec<u8> {
    let payload = format!(r#"{{"contentBlockIndex":0,"delta":{{"text":"{TEXT}"}}}}"#);
    frame("event", "contentBlockDelta", &payload)
}

fn stop() -> Vec<u8> {
    frame("event", "messageStop", r#"{"stopReason":"end_turn"}"#)
}

fn usage() -> Vec<u8> {
    frame("event", "metadata", r#"{"usage":{"inputTokens":3,"outputTokens":2,"totalTokens":5}}"#)
}

/// One message of an event stream: lengths, headers, payload, and the sums of both parts.
fn frame(kind: &str, name: &str, payload: &str) -> Vec<u8> {
    let mut headers = Vec::new();
    let named = format!(":{kind}-type");
    for (key, value) in
        [(named.as_str(), name), (":content-type", "application/json"), (":message-type", kind)]
    {
        headers.push(u8::try_from(key.len()).unwrap());
        headers.extend(key.as_bytes());
        headers.push(7);
        headers.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        headers.extend(value.as_bytes());
    }
    let total = u32::try_from(16 + headers.len() + payload.len()).unwrap();
    let mut frame = [total.to_be_bytes(), u32::try_from(headers.len()).unwrap().to_be_bytes()].concat();
    frame.extend(crc32(&frame).to_be_bytes());
    frame.extend(&headers);
    frame.extend(payload.as_bytes());
    frame.extend(crc32(&frame).to_be_bytes());
    frame
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32| if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| step(sum)))
}

/// One document on each line.
fn lines() -> Vec<Fault> {
    fn says(lines: &[&str]) -> Script {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n".to_owned() + CHUNKED;
        lines.iter().fold(Script::new().write(head), |script, line| script.write(piece(line))).write(LAST)
    }
    const DONE: &str = "{\"model\":\"m-1\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":3,\"eval_count\":2}";
    fn said() -> String {
        format!(
            "{{\"model\":\"m-1\",\"message\":{{\"role\":\"assistant\",\"content\":\"{TEXT}\"}},\"done\":false}}\n"
        )
    }
    vec![
        fault("lines/well", |_| says(&[&said(), DONE, "\n"])).at_all("lines").live(Exact),
        fault("lines/no_last_line_end", |_| says(&[&said(), DONE])).at_all("lines").live(Exact),
        fault("lines/empty_lines", |_| says(&["\n\r\n", &said(), "\n\n", DONE, "\n\n"]))
            .at_all("lines")
            .live(Exact),
        fault("lines/cut", |_| says(&[&said()])).at_all("lines").live(Broken("")),
        fault("lines/cut_in_a_line", |_| says(&[&said(), &DONE[..40]])).at_all("lines").live(Broken("")),
        fault("lines/garbage", |_| says(&[&said(), "all is well\n", DONE, "\n"]))
            .at_all("lines")
            .live(Broken("")),
        fault("lines/error", |_| says(&[&said(), "{\"error\":\"Come back later\"}\n"]))
            .at_all("lines")
            .live(Broken(""))
            .shows("Come back later"),
        fault("lines/endless", |_| {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n\r\n";
            Script::new().write(head.to_owned() + &said()).pour("x".repeat(4096), 4096)
        })
        .at_all("lines")
        .live(Broken("")),
        fault("lines/whole_answer", |_| {
            let body = said().replace("false", "true,\"done_reason\":\"stop\"");
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n".to_owned();
            Script::new().write(head + &crate::dialect::length(body.len()) + &body)
        })
        .at_all("lines")
        .live(Error(502, "upstream_not_stream")),
        fault("lines/refused", |_| {
            let body = "{\"error\":\"Come back later\"}";
            let head = "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\n".to_owned();
            Script::new().write(head + &crate::dialect::length(body.len()) + body)
        })
        .at_all("lines")
        .live(Error(404, ""))
        .shows("Come back later"),
    ]
}
