//! What configurations mean, and what is said about wrong ones.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use engine::view::{CallDirection, Role};

use super::{Config, Loaded, Report, Resolver, read};

#[derive(Debug)]
struct Names;

impl Resolver for Names {
    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match host {
            "sbc.example.com" => Ok(vec![
                SocketAddr::from(([0u16, 0, 0, 0, 0, 0, 0, 1], port)),
                SocketAddr::from(([192, 0, 2, 7], port)),
            ]),
            _ => Err(io::Error::other("no such host")),
        }
    }
}

fn with(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, Report> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    read(PathBuf::from("medlytt.toml"), text, variables, &Names)
}

fn good(text: &str) -> Config {
    with(text, &[]).unwrap_or_else(|report| panic!("{report}")).config
}

fn lines(text: &str) -> Vec<String> {
    with(text, &[]).unwrap_err().to_string().lines().map(str::to_owned).collect()
}

const SHIPPED: &str = include_str!("../../../../config/medlytt.toml");

/// The defaults stand in the cores, which the simulator takes, and here, where `medlytt check` reads them: one fact.
#[test]
fn the_cores_have_the_same_defaults() {
    let config = Config::default();
    let engine = config.engine();
    let core = engine::Settings::new(engine.signalling.clone());
    assert_eq!(format!("{engine:#?}"), format!("{core:#?}"));
    let shard = config.shard();
    let core = media::Settings { max_streams: shard.max_streams, ..media::Settings::default() };
    assert_eq!(format!("{shard:#?}"), format!("{core:#?}"));
    let sip = signalling::Settings::for_domain(&config.sip.domain);
    let core = signalling::Settings { user_agent: engine.signalling.user_agent.clone(), ..sip };
    assert_eq!(format!("{:#?}", engine.signalling), format!("{core:#?}"));
}

#[test]
fn the_shipped_file_holds_the_defaults() {
    assert_eq!(format!("{:#?}", good(SHIPPED)), format!("{:#?}", Config::default()));
}

#[test]
fn the_shipped_file_names_every_key() {
    let example = |line: &'static str| {
        line.strip_prefix("# ").filter(|rest| rest.starts_with('[') || rest.contains(" = ")).unwrap_or(line)
    };
    let uncommented: Vec<&str> = SHIPPED.lines().map(example).collect();
    let shown = keys(uncommented.join("\n").parse::<toml_edit::DocumentMut>().unwrap().as_item(), "");
    let minimal = "[[trunk]]\nname='t'\nuri='sip:192.0.2.1'\n[[agent]]\nid='a'\nname='A'\nnumber='1'\n[[user]]\nid='u'\nname='U'\nrole='admin'\n";
    let known = with(minimal, &[]).unwrap().keys;
    assert_eq!(known, shown);
}

fn keys(item: &toml_edit::Item, path: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if let Some(tables) = item.as_array_of_tables() {
        for table in tables {
            found.extend(keys(&toml_edit::Item::Table(table.clone()), path));
        }
        found.insert(path.to_owned());
    } else if let Some(table) = item.as_table_like() {
        for (key, item) in table.iter() {
            found.extend(keys(item, &if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }));
        }
        if !path.is_empty() {
            found.insert(path.to_owned());
        }
    } else {
        found.insert(path.to_owned());
    }
    found
}

#[test]
fn every_error_is_named_at_once_with_its_place() {
    let text = "\
[sip]
listen = [\"udp:0.0.0.0:5060\", \"tls:0.0.0.0:5061\", \"nonsense\"]
domian = \"pbx\"
max_calls = \"many\"

[media]
ports = \"30000-20000\"

[store]
url = \"nats://host:4222\"

[monitoring]
ring_timeout = \"soon\"
busy_retries = -1
shield_on_keys = \"7\"
shield_info = \"shield\"

[[trunk]]
name = \"platform\"
uri = \"sip:nowhere.example.com\"
transfer = \"relay\"
username = \"me\"

[[agent]]
id = \"anna\"
number = \"1001\"
contact = \"sips:anna@10.0.0.1\"

[page]
";
    assert_eq!(
        lines(text),
        [
            "medlytt.toml:2:31: sip.listen: tls: not in this version",
            "medlytt.toml:2:51: sip.listen: must be udp:ADDRESS:PORT or tcp:ADDRESS:PORT, not \"nonsense\"",
            "medlytt.toml:3:1: sip.domian: unknown key, did you mean `domain`?",
            "medlytt.toml:4:13: sip.max_calls: must be an integer, not a string",
            "medlytt.toml:7:9: media.ports: must be FIRST-LAST with room for an even port and the next, not \"30000-20000\"",
            "medlytt.toml:10:7: store.url: nats: not in this version",
            "medlytt.toml:13:16: monitoring.ring_timeout: must be a duration: seconds, or a string such as \"30s\", \"5m\" or \"12h\", not a string",
            "medlytt.toml:14:16: monitoring.busy_retries: must be 0 to 1000, not -1",
            "medlytt.toml:15:18: monitoring.shield_on_keys: must be 2 to 16 keys out of 0-9 * # A-D, such as \"*7\", not \"7\"",
            "medlytt.toml:16:15: monitoring.shield_info: must be a media type such as application/x-shield, not \"shield\"",
            "medlytt.toml:20:7: trunk[platform].uri: host \"nowhere.example.com\" cannot be resolved: no such host",
            "medlytt.toml:21:12: trunk[platform].transfer: relay: not in this version",
            "medlytt.toml:22:1: trunk[platform].username: not in this version",
            "medlytt.toml:24:1: agent[anna].name: is missing",
            "medlytt.toml:27:11: agent[anna].contact: sips: not in this version",
            "medlytt.toml:29:2: page: not in this version",
        ]
    );
}

#[test]
fn text_that_is_no_toml_is_named_with_its_place() {
    let lines = lines("[sip]\nlisten = [\n");
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("medlytt.toml:") && lines[0].contains("not valid TOML"), "{lines:?}");
    assert!(self::lines("[sip]\n[sip]\n")[0].starts_with("medlytt.toml:2:"));
}

#[test]
fn nobody_is_there_twice() {
    let agent = |id: &str, number: &str| {
        format!("[[agent]]\nid = \"{id}\"\nname = \"N\"\nnumber = \"{number}\"\npassword = \"p\"\n")
    };
    let user = |id: &str, phone: &str| {
        format!("[[user]]\nid = \"{id}\"\nname = \"N\"\nrole = \"admin\"\nsoftphone = \"{phone}\"\npassword = \"p\"\n")
    };
    let text = [
        agent("anna", "1001"),
        agent("anna", "1002"),
        agent("bo", "1001"),
        agent("cia", "bo"),
        user("u", "1002"),
        user("u", "soft"),
        user("v", "anna"),
    ]
    .concat();
    assert_eq!(
        lines(&text),
        [
            "medlytt.toml:7:6: agent[anna].id: \"anna\" is taken by agent anna",
            "medlytt.toml:14:10: agent[bo].number: \"1001\" is taken by agent anna",
            "medlytt.toml:19:10: agent[cia].number: \"bo\" is taken by agent bo",
            "medlytt.toml:25:13: user[u].softphone: \"1002\" is taken by agent anna",
            "medlytt.toml:28:6: user[u].id: \"u\" is taken by another user",
            "medlytt.toml:38:12: user[v].password: belongs to agent anna, whose phone this is",
        ]
    );
}

#[test]
fn the_example_of_the_contract_is_understood() {
    let text = "\
[sip]
listen = [\"udp:127.0.0.1:0\", \"udp:[::1]:5060\"]
advertised = \"203.0.113.7\"
[store]
call_records = \"3650d\"
[monitoring]
access_number = \"+4721000000\"
headers = { queue = \"X-Queue\", interaction = \"X-Interaction-Id\" }
directions = [\"inbound\", \"internal\"]
shield_timeout = \"5m\"
max_active_requests = { admin = 4 }
default_until = 3600
[[trunk]]
name = \"platform\"
uri = \"sip:sbc.example.com\"
[[agent]]
id = \"kushen\"
name = \"Henrik Kusoa\"
number = \"1001\"
contact = \"sip:kushen@10.0.1.5\"
group = \"Support\"
skills = [\"Sales\"]
[[user]]
id = \"paal\"
name = \"Paal\"
role = \"supervisor\"
groups = [\"Support\"]
token_hash = \"sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff\"
softphone = \"kushen\"
listener_offer = \"sendrecv\"
";
    let config = good(text);
    assert_eq!(config.call_records, Duration::from_secs(3650 * 86_400));
    let monitoring = &config.monitoring;
    assert_eq!(monitoring.directions, [CallDirection::Inbound, CallDirection::Internal]);
    assert_eq!(monitoring.shield_timeout, Some(Duration::from_secs(300)));
    assert_eq!((monitoring.max_active_requests_supervisor, monitoring.max_active_requests_admin), (Some(1), Some(4)));
    assert_eq!(monitoring.default_until, Duration::from_secs(3600));
    assert_eq!(monitoring.header_queue.as_deref(), Some("X-Queue"));
    let trunk = &config.directory.trunks[0];
    assert_eq!((trunk.host.as_str(), trunk.next_hop), ("sbc.example.com", "192.0.2.7:5060".parse().unwrap()));
    assert_eq!(trunk.allow, [("192.0.2.7".parse().unwrap(), 32)]);
    let agent = &config.directory.agents[0];
    assert_eq!(agent.phone.contact, Some(("sip:kushen@10.0.1.5".to_owned(), "10.0.1.5:5060".parse().unwrap())));
    assert!(agent.monitorable);
    let user = &config.directory.users[0];
    assert_eq!((user.role, user.softphone.as_deref(), user.offer_sendrecv), (Role::Supervisor, Some("kushen"), true));
    assert_eq!(config.credentials[0].token_sha256.unwrap()[30..], [0x1e, 0xff]);
}

#[test]
fn tcp_is_listened_on_and_named() {
    let text = "\
[[trunk]]
name = \"platform\"
uri = \"sip:sbc.example.com:5070;transport=TCP\"
[[trunk]]
name = \"pstn\"
uri = \"sip:10.0.0.1;transport=udp\"
[[agent]]
id = \"anna\"
name = \"Anna\"
number = \"1001\"
contact = \"sip:anna@10.0.1.5;transport=tcp\"
";
    let config = good(text);
    let listens: Vec<String> =
        config.sip.listen.iter().map(|listen| format!("{}:{}", listen.transport.name(), listen.addr)).collect();
    assert_eq!(listens, ["udp:0.0.0.0:5060", "tcp:0.0.0.0:5060"]);
    let hosts: Vec<&str> = config.directory.trunks.iter().map(|trunk| trunk.host.as_str()).collect();
    assert_eq!(hosts, ["sbc.example.com:5070;transport=tcp", "10.0.0.1;transport=udp"]);
    let contact = config.directory.agents[0].phone.contact.as_ref().unwrap();
    assert_eq!(contact.0, "sip:anna@10.0.1.5;transport=tcp");
    let connections = config.engine().signalling.connections;
    assert_eq!(connections, signalling::transport::ConnectionLimits::default(), "one default, wherever it stands");

    let without = format!("[sip]\nlisten = [\"udp:127.0.0.1:0\"]\nmax_connections = 0\nconnection_idle = 30\n{text}");
    assert_eq!(
        lines(&without),
        [
            "medlytt.toml:3:19: sip.max_connections: must be 1 to 1000000, not 0",
            "medlytt.toml:4:19: sip.connection_idle: must be 60s to 31622400s",
            "medlytt.toml:7:7: trunk[platform].uri: transport=tcp: no tcp address stands in sip.listen",
            "medlytt.toml:15:11: agent[anna].contact: transport=tcp: no tcp address stands in sip.listen",
        ]
    );
}

#[test]
fn the_environment_overrides_the_file() {
    let variables = [
        ("MEDLYTT_SIP__LISTEN", "udp:127.0.0.1:5070,udp:127.0.0.2:5070"),
        ("MEDLYTT_MEDIA__PORTS", "30000-30009"),
        ("MEDLYTT_MONITORING__ACCESS_NUMBER", "+4721000000"),
        ("MEDLYTT_MONITORING__HEADERS__QUEUE", "X-Q"),
        ("MEDLYTT_MONITORING__BUSY_RETRIES", "7"),
        ("MEDLYTT_MONITORING__STRICT_LISTENER", "true"),
        ("MEDLYTT_MONITORING__MAX_ACTIVE_REQUESTS", "{ supervisor = 2 }"),
        ("MEDLYTT_DRAIN_TIMEOUT", "5"),
        ("MEDLYTT_BIN", "somebody else's"),
        ("PATH", "/bin"),
    ];
    let config =
        with("[sip]\nlisten = [\"udp:0.0.0.0:1\"]\n", &variables).unwrap_or_else(|report| panic!("{report}")).config;
    let listens: Vec<String> = config.sip.listen.iter().map(|listen| listen.addr.to_string()).collect();
    assert_eq!(listens, ["127.0.0.1:5070", "127.0.0.2:5070"]);
    assert_eq!(config.media.ports, (30_000, 30_009));
    assert_eq!(config.monitoring.access_number.as_deref(), Some("+4721000000"));
    assert_eq!(config.monitoring.header_queue.as_deref(), Some("X-Q"));
    assert_eq!(config.monitoring.busy_retries, 7);
    assert!(config.monitoring.strict_listener);
    assert_eq!(config.monitoring.max_active_requests_supervisor, Some(2));
    assert_eq!(config.drain_timeout, Duration::from_secs(5));
}

#[test]
fn errors_of_the_environment_name_the_variable() {
    let variables =
        [("MEDLYTT_SIP__LISTEN", "wss:0.0.0.0:443"), ("MEDLYTT_SIPP__DOMAIN", "x"), ("MEDLYTT_AGENT__ID", "x")];
    let report = with("[[agent]]\nid = \"a\"\nname = \"A\"\nnumber = \"1\"\n", &variables).unwrap_err().to_string();
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(
        lines,
        [
            "MEDLYTT_AGENT__ID: agent.id: a variable can set keys of sections only, and agent is an array",
            "MEDLYTT_SIPP__DOMAIN: sipp: unknown key, did you mean `sip`?",
            "MEDLYTT_SIP__LISTEN: sip.listen: wss: not in this version",
        ]
    );
}

#[test]
fn an_agent_without_a_phone_is_a_warning() {
    let loaded = with("[[agent]]\nid = \"a\"\nname = \"A\"\nnumber = \"1\"\n", &[]).unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    assert!(loaded.warnings[0].line("f").starts_with("f:1:1: agent[a]: "), "{:?}", loaded.warnings);
}

#[test]
fn a_password_is_never_repeated() {
    let report = with("[[agent]]\nid = \"a\"\nname = \"A\"\nnumber = \"1\"\npassword = [\"secret\"]\n", &[])
        .unwrap_err()
        .to_string();
    assert!(!report.contains("secret"), "{report}");
}

#[test]
fn webhooks_go_where_the_operator_says() {
    let text =
        "[webhooks]\nallow_http = true\nallow = [\"10.1.0.0/16\", \"fd00::/8\"]\ntimeout = \"2s\"\nmax_pending = 5\n";
    let webhooks = good(text).webhooks;
    assert!(webhooks.allow_http && webhooks.allow[0].contains("10.1.2.3".parse().unwrap()));
    assert!(webhooks.allow[1].contains("fd12::1".parse().unwrap()) && webhooks.allow.len() == 2);
    assert_eq!((webhooks.timeout, webhooks.max_pending), (Duration::from_secs(2), 5));
    assert_eq!(
        lines("[webhooks]\nallow = [\"10.0.0.0/33\"]\ncertificates = \"/nowhere/ca.pem\"\ntimeout = \"1h\"\n")
            .iter()
            .map(|line| line.split(": ").nth(1).unwrap().to_owned())
            .collect::<Vec<_>>(),
        ["webhooks.allow", "webhooks.certificates", "webhooks.timeout"]
    );
}
