//! What the client gets of a whole answer.

use interlingua_tests::gateway::Gateway;
use interlingua_tests::upstream::{Reply, Upstream};

use crate::{HELLO, HI, HI_FOREIGN};

/// `HI` with the text `packed`, compressed by the tools of each format.
const PACKED: [(&str, &str); 4] = [
    (
        "gzip",
        "1f8b0800000000000203158d410e02210c45eff2d7c4385bae628c41a84e152899766132e1ee9655d3f6fdff4e704144de1020cf0f655bdb9eec92a58d4ac6d2fd950f4a464e6e014d0a55a7dabaefc29914f176827ba11fe2d509524d6f423c7148f589a4ca6aa9dbca4837eacb3352fe7ae90c787167dd1f6e51f745a8c9c0bccf3f5c23bd509f000000",
    ),
    (
        "deflate",
        "789c158d410e02210c45eff2d7c4385bae628c41a84e152899766132e1ee9655d3f6fdff4e704144de1020cf0f655bdb9eec92a58d4ac6d2fd950f4a464e6e014d0a55a7dabaefc29914f176827ba11fe2d509524d6f423c7148f589a4ca6aa9dbca4837eacb3352fe7ae90c787167dd1f6e51f745a8c9c0bccf3f052a34e8",
    ),
    (
        "br",
        "1b9e00208cc3b8d99a688aeb270611e42df50bc9b72c98791b41d3be7558bafaeac942ae264be2b7cfa69a46ea6200bab110df447ea676df72132b24b7ea9cf99f42a03416119f8d27f75af412ad6931480aacc01c28de00deb1d3b3a6369802d0a5e43b",
    ),
    (
        "zstd",
        "28b52ffd209fdd030072c91b1b70b56d319c6ae2e7a59b69f463486f471400c03a17715fe9ff1b020b6119c9d5ed957a3029189a563a6c961102dc4116eecadbbcebac26d5b38d47262b36228e2aaa8dc00e40b4d2cac056bc94c66d56db07a2549bc246b80793dbbc322d1e88ca0bec31f63061c8cdc56da3b4120200e31a228a608601",
    ),
];

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().collect();
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[tokio::test]
async fn same_dialect_keeps_bytes() {
    let body = HI.replace("\"created\":1", " \"created\" : 1.0, \"extra\": [ 1e400 ] ");
    let upstream = Upstream::replies(Reply::json(200, &body)).await;
    let gateway = Gateway::with("openai", &upstream.url(), "").await;
    let answer = gateway.chat(HELLO).await;
    assert_eq!((answer.status, answer.text()), (200, body));
    assert_eq!(answer.header("content-type").unwrap(), "application/json");
}

#[tokio::test]
async fn translated() {
    let upstream = Upstream::replies(Reply::json(200, HI_FOREIGN)).await;
    let gateway = Gateway::with("anthropic", &upstream.url(), "").await;
    let answer = gateway.chat(HELLO).await.json();
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["choices"][0]["message"]["content"], "Hi");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["usage"]["total_tokens"], 5);
}

/// Rate limits, when to come back and the provider's id go on; everything else of its head is its own.
#[tokio::test]
async fn headers_that_matter_are_kept() {
    let reply = Reply::json(200, HI)
        .header("x-ratelimit-remaining-tokens", "7")
        .header("x-request-id", "req_1")
        .header("set-cookie", "provider-cookie")
        .header("server", "provider-server")
        .header("openai-organization", "provider-organization");
    let upstream = Upstream::replies(reply).await;
    let gateway = Gateway::with("openai", &upstream.url(), "").await;
    let answer = gateway.chat(HELLO).await;
    assert_eq!(answer.header("x-ratelimit-remaining-tokens").unwrap(), "7");
    assert_eq!(answer.header("x-request-id").unwrap(), "req_1");
    assert_eq!(answer.header("x-interlingua-request-id").unwrap().len(), 32);
    assert!(!format!("{:?}", answer.head).contains("provider-"), "{:?}", answer.head);
}

#[tokio::test]
async fn compressed_answers_are_unpacked() {
    for (coding, hex) in PACKED {
        let reply = Reply::body("application/json", bytes(hex)).header("content-encoding", coding);
        let mut upstream = Upstream::replies(reply).await;
        let gateway = Gateway::with("openai", &upstream.url(), "").await;
        let answer = gateway.chat(HELLO).await;
        assert!(answer.text().contains("\"packed\""), "{coding}: {}", answer.text());
        assert_eq!(answer.header("content-encoding"), None);
        let accepted = upstream.seen().await.header("accept-encoding").unwrap();
        assert!(coding == "deflate" || accepted.contains(coding), "{coding} is not in `{accepted}`");
    }
}

#[tokio::test]
async fn compressed_in_small_pieces() {
    for (coding, hex) in PACKED {
        let mut reply = Reply::stream_of("application/json").header("content-encoding", coding);
        for piece in bytes(hex).chunks(7) {
            reply = reply.then(piece);
        }
        let upstream = Upstream::replies(reply).await;
        let gateway = Gateway::with("openai", &upstream.url(), "").await;
        let answer = gateway.chat(HELLO).await;
        assert!(answer.text().contains("\"packed\""), "{coding}: {}", answer.text());
    }
}

#[tokio::test]
async fn compressed_errors_are_unpacked() {
    // {"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}, stored in gzip's frame
    let error = r#"{"error":{"message":"slow down","code":"rate_limit_exceeded"}}"#;
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1];
    let length = u16::try_from(error.len()).unwrap();
    packed.extend(length.to_le_bytes());
    packed.extend((!length).to_le_bytes());
    packed.extend(error.as_bytes());
    packed.extend(crc32(error.as_bytes()).to_le_bytes());
    packed.extend(u32::from(length).to_le_bytes());
    let reply = Reply::body("application/json", packed).status(429).header("content-encoding", "gzip");
    let upstream = Upstream::replies(reply).await;
    let gateway = Gateway::with("openai", &upstream.url(), "").await;
    let answer = gateway.chat(HELLO).await;
    assert_eq!(answer.error(), (429, "rate_limit_exceeded".to_owned()), "{}", answer.text());
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8)
            .fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (!(crc & 1)).wrapping_add(1)))
    })
}

#[tokio::test]
async fn broken_compression_is_the_providers_fault() {
    for (coding, body, code) in [
        ("gzip", b"this is no gzip".to_vec(), "upstream_cut"),
        ("gzip", bytes(PACKED[0].1)[..60].to_vec(), "upstream_cut"),
        ("compress", b"x".to_vec(), "upstream_encoding"),
    ] {
        let reply = Reply::body("application/json", body).header("content-encoding", coding);
        let upstream = Upstream::replies(reply).await;
        let gateway = Gateway::with("openai", &upstream.url(), "").await;
        assert_eq!(gateway.chat(HELLO).await.error(), (502, code.to_owned()));
    }
}

/// The limit binds what comes out, not what goes in.
#[tokio::test]
async fn answers_are_bounded() {
    let long = HI.replace("\"Hi\"", &format!("\"{}\"", "x".repeat(5_000)));
    let reply = |chunked: bool| {
        if chunked { Reply::stream_of("application/json").then(&long) } else { Reply::json(200, &long) }
    };
    let upstream = Upstream::start().await;
    let config = interlingua_tests::gateway::provider("openai", &upstream.url(), "");
    let gateway = Gateway::start(&format!("{config}limits: {{ response_bytes: 4KiB }}\n")).await;
    for chunked in [false, true] {
        upstream.will(reply(chunked));
        let answer = gateway.chat(&HELLO.replace("\"m\"", "\"main/m\"")).await;
        assert_eq!(answer.error(), (502, "upstream_too_large".to_owned()));
    }
}
