"""The example of the README: an unchanged REP agent and its client, through a running sidecar (`myelin serve`)."""
import threading, zmq

ctx = zmq.Context()

def agent():                                   # an ordinary REP agent on a port of its own
    rep = ctx.socket(zmq.REP)
    port = rep.bind_to_random_port("tcp://127.0.0.1")
    ask("register_agent", registration_data={"agent_id": "Greeter", "host": "127.0.0.1", "port": port})
    while True:
        rep.send_json({"hello": rep.recv_json()["name"]})

def ask(action, **fields):                     # the discovery dialect that agents already speak
    req = ctx.socket(zmq.REQ)
    req.connect("tcp://127.0.0.1:7120")
    req.send_json({"action": action, "agent_name": "Greeter", **fields})
    return req.recv_json()

threading.Thread(target=agent, daemon=True).start()
while (found := ask("get_agent_endpoint"))["status"] != "success":
    pass                                       # not registered yet
client = ctx.socket(zmq.REQ)
client.connect(f"tcp://{found['host']}:{found['port']}")
client.send_json({"name": "world"})
print(client.recv_json())                      # {'hello': 'world'}, through the sidecar
