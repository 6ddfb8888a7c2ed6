//! Below the protocol: frames that WebSockets do not have.

use crate::{
    report::Outcome,
    socket::{Case, Due, Say, after_ack, frame, play, socket},
    stage::Stage,
    support::Backend,
};

const PING: &[u8] = br#"{"type":"ping"}"#;

pub(crate) async fn area(backend: Backend) -> Outcome {
    let stage = Stage::start(backend).await;
    let cases = [broken(), whole()].into_iter().flatten().collect();
    let outcome = play(&stage, cases).await;
    stage.stop().await;
    outcome
}

fn raw(name: &str, bytes: Vec<u8>, due: Due) -> Case {
    socket(name, after_ack([Say::Raw(bytes)]), due)
}

#[rustfmt::skip]
fn broken() -> Vec<Case> {
    let protocol = || Due::Close(1002, "Protocol error");
    let encoding = || Due::Close(1007, "Invalid UTF-8");
    let mut cases = vec![
        raw("an unmasked frame", [&[0x81, 15], PING].concat(), protocol()),
        raw("a text that is no UTF-8", frame(0x81, b"{\"type\":\"\xff\xfe\"}"), encoding()),
        raw("a text with a surrogate", frame(0x81, b"{\"type\":\"\xed\xa0\x80\"}"), encoding()),
        raw("a continuation of nothing", frame(0x80, PING), protocol()),
        raw("a message within a message", [frame(0x01, b"{"), frame(0x81, PING)].concat(), protocol()),
        raw("a ping in fragments", frame(0x09, b"x"), protocol()),
        raw("a goodbye in fragments", frame(0x08, b""), protocol()),
        raw("a ping of 126 bytes", frame(0x89, &[b'x'; 126]), protocol()),
        raw("a goodbye of 200 bytes", frame(0x88, &[b'x'; 200]), protocol()),
        raw("a frame that announces 2^62 bytes", [&[0x81, 0xff][..], &(1_u64 << 62).to_be_bytes(), &[0; 4]].concat(), Due::Close(1009, "Message too big")),
        raw("a frame that announces 2^64 - 1 bytes", [&[0x81, 0xff][..], &u64::MAX.to_be_bytes(), &[0; 4]].concat(), Due::Close(1009, "Message too big")),
        raw("a frame of 65,537 bytes", frame(0x81, &vec![b' '; 65_537]), Due::Close(1009, "Message too big")),
        raw("40 fragments of 2,000 bytes", [frame(0x01, &[b' '; 2000]), frame(0x00, &[b' '; 2000]).repeat(40)].concat(), Due::Close(1009, "Message too big")),
        raw("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), Due::Gone(1002)),
    ];
    for opcode in [0x83, 0x84, 0x85, 0x86, 0x87, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f] {
        cases.push(raw(&format!("the reserved opcode {:#x}", opcode & 0x0f), frame(opcode, b"x"), protocol()));
    }
    for bits in [0xc1, 0xa1, 0x91, 0xf1] {
        cases.push(raw(&format!("the reserved bits {bits:#x}"), frame(bits, PING), protocol()));
    }
    cases
}

#[rustfmt::skip]
fn whole() -> Vec<Case> {
    let quiet = || Due::Hears(&["ack"]);
    let mut cases = vec![
        raw("a message in fragments of a byte", fragments(PING), quiet()),
        raw("a ping between fragments", [frame(0x01, &PING[..4]), frame(0x89, b"hi"), frame(0x80, &PING[4..])].concat(), quiet()),
        raw("empty fragments", [frame(0x01, b""), frame(0x00, b""), frame(0x80, PING)].concat(), quiet()),
        raw("2,000 pings", frame(0x89, b"canary-x").repeat(2000), quiet()),
        raw("2,000 pongs", frame(0x8a, b"canary-x").repeat(2000), quiet()),
        raw("a ping of 125 bytes", frame(0x89, &[b'x'; 125]), quiet()),
    ];
    for (name, goodbye) in [
        ("without a code", vec![]), ("of a byte", vec![3]), ("with 1000", vec![3, 0xe8]), ("with 1005", vec![3, 0xed]), ("with 1006", vec![3, 0xee]), ("with 0", vec![0, 0]),
        ("with 65535", vec![0xff, 0xff]), ("with a reason", b"\x03\xe8canary-x".to_vec()), ("with a reason that is no UTF-8", b"\x03\xe8\xff".to_vec()),
    ] {
        cases.push(raw(&format!("a goodbye {name}"), frame(0x88, &goodbye), Due::Ended));
    }
    cases
}

fn fragments(message: &[u8]) -> Vec<u8> {
    let (last, rest) = message.split_last().unwrap();
    let mut bytes = Vec::new();
    for (index, byte) in rest.iter().enumerate() {
        bytes.extend(frame(u8::from(index == 0), &[*byte]));
    }
    bytes.extend(frame(0x80, &[*last]));
    bytes
}
