//! WebSocket peers that cannot tell that somebody is between them.
//!
//! Every script runs twice, directly and through the target, and what each end saw has to be the
//! same. Where a host is bound to differ, because it parses frames itself, the difference is a row
//! of [`differences`], with its reason and the exact transcript; a row that does not happen any
//! more fails as well.

use tunnel_balancer_tests::peers::{
    Act, Peers, Script, Transcript, Who, begin, binary, close, close_empty, finish, frame, go_on, ping, pong, text,
};
use tunnel_balancer_tests::target::Host;
use tunnel_balancer_tests::{Bench, Service, Target};

cases![
    messages_of_all_sizes,
    fragments,
    pings_and_pongs,
    closes,
    frames_that_break_the_rules,
    subprotocols_and_extensions,
    abrupt_ends,
    many_messages_both_ways_at_once,
];

/// How a target is bound to differ in one script.
struct Difference {
    script: &'static str,
    client: &'static [&'static str],
    server: &'static [&'static str],
    why: &'static str,
}

fn differences(target: &Target) -> &'static [Difference] {
    match target.host() {
        Host::Worker => WORKERD,
        Host::Native => &[],
    }
}

/// Otherwise workerd hands frames on as they are: pings, fragments, faulty frames and broken
/// connections included.
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
        why: "workerd passes on offers of extensions that it knows, and no others",
    },
];

const ENDS: [(Who, &str); 2] = [(Who::Client, "client"), (Who::Server, "server")];

async fn messages_of_all_sizes(bench: Bench) {
    let scripts = [0, 1, 125, 126, 65535, 65536, 1024 * 1024].map(|size| {
        let (word, bytes) = ("caf\u{e9} ".repeat(size / 6 + 1), vec![0xA5; size]);
        let word: String = word.chars().take(size).collect(); // one character a byte would be dull
        let both = [text(word), text("x".repeat(size)), binary(bytes)];
        Script::new(format!("messages of {size}")).turn(Who::Client, both.clone()).turn(Who::Server, both)
    });
    same_through(bench, scripts).await;
}

async fn fragments(bench: Bench) {
    let scripts = ENDS.into_iter().flat_map(|(who, name)| {
        [
            Script::new(format!("a text in three frames from the {name}"))
                .turn(who, [begin("one "), go_on("two "), finish("three")]),
            Script::new(format!("a text in empty frames from the {name}"))
                .turn(who, [begin(""), go_on(""), go_on(""), finish("")]),
            Script::new(format!("a text cut in a character by the {name}"))
                .turn(who, [frame_of(who, 0x01, b"caf\xC3"), frame_of(who, 0x80, b"\xA9")]),
            Script::new(format!("pings between frames from the {name}"))
                .turn(who, [begin("one "), ping("a"), go_on("two "), pong("b"), ping("c"), finish("three")]),
            Script::new(format!("a thousand frames from the {name}"))
                .turn(who, [vec![begin("1")], vec![go_on("2"); 1000], vec![finish("3")]].concat()),
        ]
    });
    same_through(bench, scripts).await;
}

async fn pings_and_pongs(bench: Bench) {
    let scripts = ENDS.into_iter().flat_map(|(who, name)| {
        [
            Script::new(format!("an empty ping from the {name}")).turn(who, [ping("")]),
            Script::new(format!("a ping from the {name}")).turn(who, [ping("are you there?")]),
            Script::new(format!("the largest ping from the {name}")).turn(who, [ping("p".repeat(125))]),
            Script::new(format!("pings among texts from the {name}"))
                .turn(who, [text("1"), ping("a"), text("2"), ping("b"), text("3")]),
            Script::new(format!("a pong that nobody asked for from the {name}")).turn(who, [pong("by the way")]),
        ]
    });
    same_through(bench, scripts).await;
}

async fn closes(bench: Bench) {
    let scripts = ENDS.into_iter().flat_map(|(who, name)| {
        let coded = [1000, 1001, 1003, 1008, 1009, 1011, 3000, 4999].map(|code| {
            Script::new(format!("the {name} closes with {code}"))
                .turn(who, [text("bye")])
                .ending(who, [close(code, "bye")])
        });
        let others = [
            Script::new(format!("the {name} closes with the longest reason"))
                .ending(who, [close(4000, &"r".repeat(123))]),
            Script::new(format!("the {name} closes without a reason")).ending(who, [close(4000, "")]),
            Script::new(format!("the {name} closes without a code")).ending(who, [close_empty()]),
            Script::new(format!("the {name} closes in the middle of a message"))
                .ending(who, [begin("one "), close(1001, "later")]),
        ];
        coded.into_iter().chain(others)
    });
    let both = Script::new("both close at once").ending(Who::Both, [close(4001, "me first")]);
    same_through(bench, scripts.chain([both])).await;
}

async fn frames_that_break_the_rules(bench: Bench) {
    let scripts = ENDS.into_iter().flat_map(|(who, name)| {
        let masked = matches!(who, Who::Client);
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
        broken.into_iter().map(move |(what, act)| {
            Script::new(format!("{what} from the {name}")).turn(who, [text("before")]).ending(who, [act])
        })
    });
    same_through(bench, scripts).await;
}

async fn subprotocols_and_extensions(bench: Bench) {
    const PROTOCOL: &str = "Sec-WebSocket-Protocol";
    const EXTENSIONS: &str = "Sec-WebSocket-Extensions";
    const BROWSER: &str = "permessage-deflate; client_max_window_bits";
    let talk = |script: Script| script.turn(Who::Client, [text("hello")]).turn(Who::Server, [text("hello")]);
    let scripts = [
        talk(Script::new("a subprotocol is chosen").offer(PROTOCOL, "a, b").accept(PROTOCOL, "b")),
        talk(Script::new("no subprotocol is chosen").offer(PROTOCOL, "a, b")),
        Script::new("a subprotocol is refused").offer(PROTOCOL, "c").refuse(400),
        talk(Script::new("compression is not taken").offer(EXTENSIONS, BROWSER)),
        talk(Script::new("an unknown extension is offered").offer(EXTENSIONS, "x-unknown; a=1")),
        // Without messages, because the library cannot inflate any; Autobahn's client can.
        Script::new("compression is taken").offer(EXTENSIONS, BROWSER).accept(EXTENSIONS, "permessage-deflate"),
    ];
    same_through(bench, scripts).await;
}

async fn abrupt_ends(bench: Bench) {
    let scripts = ENDS.into_iter().flat_map(|(who, name)| {
        let Act::Bytes(mut half) = frame_of(who, 0x82, &[0; 1000]) else { unreachable!("a frame is bytes") };
        half.truncate(500);
        [
            Script::new(format!("the {name} leaves")).turn(who, [text("hello")]).ending(who, [Act::Leave]),
            Script::new(format!("the {name} resets")).turn(who, [text("hello")]).ending(who, [Act::Reset]),
            Script::new(format!("the {name} leaves in a frame")).ending(who, [Act::Bytes(half.clone()), Act::Leave]),
            Script::new(format!("the {name} resets in a frame")).ending(who, [Act::Bytes(half), Act::Reset]),
            Script::new(format!("the {name} leaves in a message")).ending(who, [begin("one "), Act::Leave]),
        ]
    });
    same_through(bench, scripts).await;
}

async fn many_messages_both_ways_at_once(bench: Bench) {
    let words: Vec<Act> = (0..2000).map(|number| text(format!("number {number}"))).collect();
    same_through(bench, [Script::new("two thousand each way").turn(Who::Both, words)]).await;
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
            wrong.push(format!("{}: listed as a difference, and there is none", script.name));
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

fn frame_of(who: Who, first: u8, payload: &[u8]) -> Act {
    frame(first, matches!(who, Who::Client), payload)
}
