//! A ROUTER agent behind a service sees each caller's connection as its own: whole, in order, and one per identity.

mod routes_support;

use std::collections::HashSet;

use myelin_bridge_zmq::front::Connector;
use myelin_bridge_zmq::routes::service::{Service, ServiceConfig};

use routes_support::{Program, any_port, at, context, sharing_context, until};

/// A ROUTER that says what it gets and sends it back.
const ROUTER: &str = "
s = ctx.socket(zmq.ROUTER); s.linger = 0
say(s.bind_to_random_port('tcp://127.0.0.1'))
while True:
    m = s.recv_multipart(); say(m[0] if m[0][:1] != b'\\0' else 'anonymous', m[1:]); s.send_multipart(m)
";

async fn attach(service: &Service, code: &str) -> (Program, Connector) {
    let program = Program::start(code);
    let port: u16 = program.line().parse().expect("a port");
    let connector = service.connect_agent(&at(([127, 0, 0, 1], port).into()));
    until("the agent attaches", || service.agents_connected() > 0).await;
    (program, connector)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_sends_and_leaves_is_heard() {
    let context = context();
    let service = Service::new(&context, "Heard", ServiceConfig::default()).unwrap();
    let callers = service.bind_callers(&any_port()).await.unwrap();
    let (agent, _connector) = attach(&service, ROUTER).await;
    let caller = Program::start(&format!(
        r"
for i in range(20):
    s = ctx.socket(zmq.DEALER); s.linger = 5000; s.connect('tcp://{}'); s.send(b'%d' % i); s.close()
    ctx.term(); ctx = zmq.Context()
say('sent')
",
        callers.local_addr()
    ));
    assert_eq!(caller.finish(), ["sent"]);
    // Each came on a connection of its own, so their order is nobody's promise.
    let heard: HashSet<String> = (0..20).map(|_| agent.line()).collect();
    assert_eq!(heard, (0..20).map(|number| format!("anonymous [b'{number}']")).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_messages_keep_their_order_while_its_connection_opens() {
    let context = context();
    let service = Service::new(&context, "Order", ServiceConfig::default()).unwrap();
    let callers = service.bind_callers(&any_port()).await.unwrap();
    let checking = "
s = ctx.socket(zmq.ROUTER); s.linger = 0; s.rcvhwm = 0
say(s.bind_to_random_port('tcp://127.0.0.1'))
seen = {}
while True:
    i, m = s.recv_multipart(); m = int(m); expected = seen.get(i, 0)
    if m != expected: say('disorder', i, expected, m)
    seen[i] = m + 1
    if m == 399: s.send_multipart([i, b'done'])
";
    let (agent, _connector) = attach(&service, checking).await;
    let caller = Program::start(&format!(
        r"
def run(n):
    s = ctx.socket(zmq.DEALER); s.linger = 0; s.rcvtimeo = 15000; s.connect('tcp://{}')
    for i in range(400):
        s.send(b'%d' % i)
        if i % 10 == 0: time.sleep(0)
    assert s.recv() == b'done'; s.close()
for n in range(150): run(n)
say('done')
",
        callers.local_addr()
    ));
    assert_eq!(caller.finish(), ["done"]);
    assert_eq!(agent.try_line(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_belongs_to_one_connection_at_a_time() {
    let context = sharing_context();
    let service = Service::new(&context, "Names", ServiceConfig::default()).unwrap();
    let callers = service.bind_callers(&any_port()).await.unwrap();
    let (agent, _connector) = attach(&service, ROUTER).await;
    // A ROUTER would take the second connection's first frame for a name and get everything after it wrong.
    let caller = Program::start(&format!(
        r"
def caller():
    s = ctx.socket(zmq.DEALER); s.linger = 0; s.rcvtimeo = 15000; s.identity = b'same'; s.connect('tcp://{}'); return s
a = caller(); a.send_multipart([b'', b'a']); say(a.recv_multipart())
b = caller(); b.send_multipart([b'', b'b'])
a.send_multipart([b'', b'again']); say(a.recv_multipart())
a.close(); say(b.recv_multipart())
",
        callers.local_addr()
    ));
    assert_eq!(caller.finish(), ["[b'', b'a']", "[b'', b'again']", "[b'', b'b']"]);
    assert_eq!([agent.line(), agent.line(), agent.line()], ["b'same' [b'', b'a']", "b'same' [b'', b'again']", "b'same' [b'', b'b']"]);
}

/// A ROUTER forgets a connection only when its program calls into the socket: found as a rare failure of the test above on a busy machine, where the
/// program was late.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_with_the_name_of_one_that_left_is_heard_by_a_busy_agent() {
    let context = sharing_context();
    let service = Service::new(&context, "Busy", ServiceConfig::default()).unwrap();
    let callers = service.bind_callers(&any_port()).await.unwrap();
    let busy = "
s = ctx.socket(zmq.ROUTER); s.linger = 0
say(s.bind_to_random_port('tcp://127.0.0.1'))
while True:
    m = s.recv_multipart(); say(m); s.send_multipart(m)
    if m[2] == b'work': time.sleep(1.5)
";
    let (agent, _connector) = attach(&service, busy).await;
    let caller = Program::start(&format!(
        r"
for i in range(3):
    s = ctx.socket(zmq.DEALER); s.linger = 0; s.rcvtimeo = 10000; s.identity = b'same'; s.connect('tcp://{}')
    s.send_multipart([b'', b'%d' % i]); say(s.recv_multipart())
    s.send_multipart([b'', b'work']); say(s.recv_multipart()); s.close()
",
        callers.local_addr()
    ));
    let said: Vec<String> = (0..3).flat_map(|i| [format!("[b'', b'{i}']"), "[b'', b'work']".to_owned()]).collect();
    assert_eq!(caller.finish(), said);
    for line in said {
        assert_eq!(agent.line(), line.replacen('[', "[b'same', ", 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_connects_to_us_is_turned_away_and_takes_no_requests() {
    let context = context();
    let service = Service::new(&context, "Bound", ServiceConfig::default()).unwrap();
    let (callers, agents) = (service.bind_callers(&any_port()).await.unwrap(), service.bind_agents(&any_port()).await.unwrap());
    let _peers = Program::start(&format!(
        r"
import threading
def serve(kind):
    s = ctx.socket(kind); s.linger = 0; s.connect('tcp://{}')
    while True: s.send_multipart(s.recv_multipart())
threading.Thread(target=serve, args=(zmq.ROUTER,)).start()
threading.Thread(target=serve, args=(zmq.REP,)).start()
",
        agents.local_addr()
    ));
    until("the REP attaches", || service.agents_connected() > 0).await;
    let caller = Program::start(&format!(
        r"
for i in range(40):
    s = ctx.socket(zmq.REQ); s.linger = 0; s.rcvtimeo = 10000
    s.connect('tcp://{}'); s.send(b'%d' % i); assert s.recv() == b'%d' % i; s.close()
say('all')
",
        callers.local_addr()
    ));
    assert_eq!(caller.finish(), ["all"]);
}
