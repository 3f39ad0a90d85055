//! Transparency of WebSocket sessions.
//!
//! Every script runs directly and through the target, and both ends have to receive the same. A
//! host that parses frames itself may differ: [`differences`] lists each difference with its reason
//! and the exact transcript. A listed difference that does not occur fails the case, too.

use tunnel_balancer_tests::peers::{
    Action, Peers, Script, Side, Transcript, binary, close, close_empty, first_frame, frame, last_frame, middle_frame,
    ping, pong, text,
};
use tunnel_balancer_tests::target::Host;
use tunnel_balancer_tests::{Bench, Service, Target};

cases![
    messages_of_all_sizes,
    fragments,
    pings_and_pongs,
    closes,
    invalid_frames,
    subprotocols_and_extensions,
    abrupt_disconnects,
    many_concurrent_messages,
];

/// A known difference of a target in one script.
struct Difference {
    script: &'static str,
    client: &'static [&'static str],
    server: &'static [&'static str],
    why: &'static str,
}

fn differences(target: &Target) -> &'static [Difference] {
    match target.host() {
        Host::Worker | Host::WorkerNewest => WORKERD,
        Host::Native => &[],
    }
}

/// In all other scripts workerd relays frames unchanged, including pings, fragments, invalid frames
/// and broken connections.
const WORKERD: &[Difference] = &[
    Difference {
        script: "compression is not taken",
        client: &["text \"hello\"", "close 1000 \"done\"", "end"],
        server: &[
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=15",
            "text \"hello\"",
            "close 1000 \"done\"",
            "end",
        ],
        why: "workerd reads the offer and writes its own, with the window that it would use",
    },
    Difference {
        script: "compression is taken",
        client: &["Sec-WebSocket-Extensions: permessage-deflate", "close 1000 \"done\"", "end"],
        server: &[
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=15",
            "close 1000 \"done\"",
            "end",
        ],
        why: "workerd reads the offer and writes its own, with the window that it would use",
    },
    Difference {
        script: "an unknown extension is offered",
        client: &["text \"hello\"", "close 1000 \"done\"", "end"],
        server: &["text \"hello\"", "close 1000 \"done\"", "end"],
        why: "workerd passes only offers of extensions through that it supports",
    },
];

const ENDS: [(Side, &str); 2] = [(Side::Client, "client"), (Side::Server, "server")];

async fn messages_of_all_sizes(bench: Bench) {
    let scripts = [0, 1, 125, 126, 65535, 65536, 1024 * 1024].map(|size| {
        let (word, bytes) = ("caf\u{e9} ".repeat(size / 6 + 1), vec![0xA5; size]);
        let word: String = word.chars().take(size).collect(); // not only one-byte characters
        let both = [text(word), text("x".repeat(size)), binary(bytes)];
        Script::new(format!("messages of {size}")).turn(Side::Client, both.clone()).turn(Side::Server, both)
    });
    same_through(bench, scripts).await;
}

async fn fragments(bench: Bench) {
    let scripts = ENDS.into_iter().flat_map(|(side, name)| {
        [
            Script::new(format!("a message in three frames from the {name}"))
                .turn(side, [first_frame("one "), middle_frame("two "), last_frame("three")]),
            Script::new(format!("a message in empty frames from the {name}"))
                .turn(side, [first_frame(""), middle_frame(""), middle_frame(""), last_frame("")]),
            Script::new(format!("a message split inside a character by the {name}"))
                .turn(side, [frame_of(side, 0x01, b"caf\xC3"), frame_of(side, 0x80, b"\xA9")]),
            Script::new(format!("pings between frames from the {name}")).turn(
                side,
                [first_frame("one "), ping("a"), middle_frame("two "), pong("b"), ping("c"), last_frame("three")],
            ),
            Script::new(format!("a thousand frames from the {name}"))
                .turn(side, [vec![first_frame("1")], vec![middle_frame("2"); 1000], vec![last_frame("3")]].concat()),
        ]
    });
    same_through(bench, scripts).await;
}

async fn pings_and_pongs(bench: Bench) {
    let scripts = ENDS.into_iter().flat_map(|(side, name)| {
        [
            Script::new(format!("an empty ping from the {name}")).turn(side, [ping("")]),
            Script::new(format!("a ping from the {name}")).turn(side, [ping("ping payload")]),
            Script::new(format!("the largest ping from the {name}")).turn(side, [ping("p".repeat(125))]),
            Script::new(format!("pings among messages from the {name}"))
                .turn(side, [text("1"), ping("a"), text("2"), ping("b"), text("3")]),
            Script::new(format!("an unsolicited pong from the {name}")).turn(side, [pong("unsolicited")]),
        ]
    });
    same_through(bench, scripts).await;
}

async fn closes(bench: Bench) {
    let scripts = ENDS.into_iter().flat_map(|(side, name)| {
        let coded = [1000, 1001, 1003, 1008, 1009, 1011, 3000, 4999].map(|code| {
            Script::new(format!("the {name} closes with {code}"))
                .turn(side, [text("bye")])
                .ending(side, [close(code, "bye")])
        });
        let others = [
            Script::new(format!("the {name} closes with the longest reason"))
                .ending(side, [close(4000, &"r".repeat(123))]),
            Script::new(format!("the {name} closes without a reason")).ending(side, [close(4000, "")]),
            Script::new(format!("the {name} closes without a code")).ending(side, [close_empty()]),
            Script::new(format!("the {name} closes in the middle of a message"))
                .ending(side, [first_frame("one "), close(1001, "later")]),
        ];
        coded.into_iter().chain(others)
    });
    let both = Script::new("both close at once").ending(Side::Both, [close(4001, "me first")]);
    same_through(bench, scripts.chain([both])).await;
}

async fn invalid_frames(bench: Bench) {
    let scripts = ENDS.into_iter().flat_map(|(side, name)| {
        let masked = matches!(side, Side::Client);
        let broken = [
            ("a reserved data opcode", frame(0x83, masked, b"x")),
            ("a reserved control opcode", frame(0x8B, masked, b"x")),
            ("a reserved bit", frame(0xC1, masked, b"x")),
            ("a wrong mask", frame(0x81, !masked, b"x")),
            ("a fragmented ping", frame(0x09, masked, b"x")),
            ("too large a ping", frame(0x89, masked, &[b'x'; 126])),
            ("a continuation of nothing", frame(0x80, masked, b"x")),
            ("invalid UTF-8", frame(0x81, masked, b"\xFF")),
            ("a close of one byte", frame(0x88, masked, b"x")),
            ("a close with code 999", frame(0x88, masked, &999u16.to_be_bytes())),
            ("a close with code 1005", frame(0x88, masked, &1005u16.to_be_bytes())),
            ("a close with code 1006", frame(0x88, masked, &1006u16.to_be_bytes())),
            ("a close with code 5000", frame(0x88, masked, &5000u16.to_be_bytes())),
            ("a close with invalid UTF-8", frame(0x88, masked, b"\x03\xE8\xFF")),
        ];
        broken.into_iter().map(move |(what, action)| {
            Script::new(format!("{what} from the {name}")).turn(side, [text("before")]).ending(side, [action])
        })
    });
    same_through(bench, scripts).await;
}

async fn subprotocols_and_extensions(bench: Bench) {
    const PROTOCOL: &str = "Sec-WebSocket-Protocol";
    const EXTENSIONS: &str = "Sec-WebSocket-Extensions";
    const BROWSER: &str = "permessage-deflate; client_max_window_bits";
    let talk = |script: Script| script.turn(Side::Client, [text("hello")]).turn(Side::Server, [text("hello")]);
    let scripts = [
        talk(Script::new("a subprotocol is chosen").offer(PROTOCOL, "a, b").accept(PROTOCOL, "b")),
        talk(Script::new("no subprotocol is chosen").offer(PROTOCOL, "a, b")),
        Script::new("a subprotocol is refused").offer(PROTOCOL, "c").refuse(400),
        talk(Script::new("compression is not taken").offer(EXTENSIONS, BROWSER)),
        talk(Script::new("an unknown extension is offered").offer(EXTENSIONS, "x-unknown; a=1")),
        // Without messages, because the library does not support compression.
        Script::new("compression is taken").offer(EXTENSIONS, BROWSER).accept(EXTENSIONS, "permessage-deflate"),
    ];
    same_through(bench, scripts).await;
}

async fn abrupt_disconnects(bench: Bench) {
    let scripts = ENDS.into_iter().flat_map(|(side, name)| {
        let Action::Bytes(mut half) = frame_of(side, 0x82, &[0; 1000]) else { unreachable!("a frame is bytes") };
        half.truncate(500);
        [
            Script::new(format!("the {name} leaves")).turn(side, [text("hello")]).ending(side, [Action::Leave]),
            Script::new(format!("the {name} resets")).turn(side, [text("hello")]).ending(side, [Action::Reset]),
            Script::new(format!("the {name} leaves in a frame"))
                .ending(side, [Action::Bytes(half.clone()), Action::Leave]),
            Script::new(format!("the {name} resets in a frame")).ending(side, [Action::Bytes(half), Action::Reset]),
            Script::new(format!("the {name} leaves in a message")).ending(side, [first_frame("one "), Action::Leave]),
        ]
    });
    same_through(bench, scripts).await;
}

async fn many_concurrent_messages(bench: Bench) {
    let words: Vec<Action> = (0..2000).map(|number| text(format!("number {number}"))).collect();
    same_through(bench, [Script::new("two thousand each way").turn(Side::Both, words)]).await;
}

/// Runs the scripts directly and through the target.
async fn same_through(bench: Bench, scripts: impl IntoIterator<Item = Script>) {
    let peers = Peers::start().await;
    let app = bench.start(Service::at([("primary", peers.url())])).await;
    let mut wrong = Vec::new();
    for script in scripts {
        let direct = peers.run(&script, peers.client()).await;
        let through = peers.run(&script, app.client()).await;
        let difference = differences(bench.target()).iter().find(|difference| difference.script == script.name);
        let expected = difference.map_or_else(|| direct.clone(), Difference::transcript);
        if through != expected {
            let why = difference.map_or("the same", |difference| difference.why);
            wrong.push(format!(
                "{}\n  direct   {direct}\n  through  {through}\n  expected {expected} ({why})",
                script.name
            ));
        } else if difference.is_some() && through == direct {
            wrong.push(format!("{}: the listed difference does not occur", script.name));
        }
    }
    assert!(wrong.is_empty(), "{} scripts:\n{}", wrong.len(), wrong.join("\n"));
}

impl Difference {
    fn transcript(&self) -> Transcript {
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        Transcript { client: lines(self.client), server: lines(self.server) }
    }
}

fn frame_of(side: Side, first: u8, payload: &[u8]) -> Action {
    frame(first, matches!(side, Side::Client), payload)
}
