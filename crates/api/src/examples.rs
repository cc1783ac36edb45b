//! Examples of the document: one of each resource.

/// Schema, and JSON that fits it.
pub(crate) const EXAMPLES: [(&str, &str); 6] = [
    (
        "AgentView",
        r#"{"id": "kushen", "name": "Henrik Kusoa", "number": "1001", "group": "Support", "skills": ["Sales", "Norwegian"],
        "status": "connected", "status_since": "2026-11-22T14:03:10Z", "registered": true, "monitorable": true,
        "calls": ["call_01JD9Z7X0000000000000000A1"]}"#,
    ),
    (
        "RequestView",
        r#"{"id": "req_01JD9Z7X0000000000000000A1", "ordered_by": "paal", "agent": {"id": "kushen", "name": "Henrik Kusoa"},
        "listener": {"user": "paal", "name": "Paal Kongshaug", "kind": "softphone"}, "calls": {"limit": 2, "used": 0},
        "until": "2026-11-22T16:00:00Z", "directions": ["inbound"], "layout": "mono", "confirm": false, "state": "waiting",
        "reason": null, "created_at": "2026-11-22T14:00:00Z", "ended_at": null, "warnings": []}"#,
    ),
    (
        "ListeningView",
        r#"{"id": "lst_01JD9Z7X0000000000000000A1", "request": "req_01JD9Z7X0000000000000000A1",
        "agent": {"id": "kushen", "name": "Henrik Kusoa"}, "listener": {"user": "paal", "name": "Paal Kongshaug", "kind": "page"},
        "ordered_by": "paal", "call": "call_01JD9Z7X0000000000000000A1", "caller_number": "+4755512345",
        "access_number": "+4721000000", "queue": "Support", "state": "live", "ringing_at": "2026-11-22T14:03:11Z",
        "answered_at": "2026-11-22T14:03:14Z", "ended_at": null, "heard_ms": 12340, "counted": true, "end_reason": null,
        "focus": "talk", "shielded": false, "layout": "mono", "gains": {"agent_db": 0, "caller_db": 0}, "level_matching": false,
        "quality": {"first_audio_ms": 18, "gaps": 0, "lost": 0, "concealed_ms": 0, "jitter_ms": 0.5, "remote_lost": 0.0,
        "remote_jitter_ms": 1.0, "round_trip_ms": 12.0}}"#,
    ),
    (
        "CallView",
        r#"{"id": "call_01JD9Z7X0000000000000000A1", "interaction": "int_01JD9Z7X0000000000000000A1", "agent": "kushen",
        "direction": "inbound", "caller_number": "+4755512345", "called_number": "1001", "access_number": "+4721000000",
        "queue": "Support", "state": "up", "held": false, "shielded": false, "started_at": "2026-11-22T14:03:01Z",
        "answered_at": "2026-11-22T14:03:10Z", "ended_at": null, "end": null, "listenings": ["lst_01JD9Z7X0000000000000000A1"],
        "legs": [{"role": "caller", "sip_call_id": "a84b4c76e66710", "codec": "PCMA", "srtp": null, "packets": 1200, "lost": 0,
        "jitter_ms": 1.0, "silent": false}]}"#,
    ),
    (
        "UserView",
        r#"{"id": "paal", "name": "Paal Kongshaug", "role": "supervisor", "groups": ["Support"], "softphone": "paal",
        "registered": true}"#,
    ),
    (
        "Problem",
        r#"{"type": "urn:medlytt:problem:active-request-exists", "title": "Active request exists", "status": 409,
        "code": "active-request-exists", "detail": "there is an active request already",
        "related": "req_01JD9Z7X0000000000000000A1", "request_id": "61f2a-17"}"#,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use engine::view::{AgentView, CallView, ListeningView, RequestView, UserView};
    use serde_json::{Value, to_value};

    /// What the resource's own type makes of it.
    fn again(name: &str, json: &str) -> Option<Value> {
        let parse = |kind: &str| -> serde_json::Result<Value> {
            match kind {
                "AgentView" => to_value(serde_json::from_str::<AgentView>(json)?),
                "RequestView" => to_value(serde_json::from_str::<RequestView>(json)?),
                "ListeningView" => to_value(serde_json::from_str::<ListeningView>(json)?),
                "CallView" => to_value(serde_json::from_str::<CallView>(json)?),
                _ => to_value(serde_json::from_str::<UserView>(json)?),
            }
        };
        (name != "Problem").then(|| parse(name).expect(name))
    }

    #[test]
    fn examples_are_what_the_api_would_answer() {
        for (name, json) in EXAMPLES {
            let example: Value = serde_json::from_str(json).expect(name);
            assert!(again(name, json).is_none_or(|again| again == example), "{name}");
        }
    }

    #[test]
    fn what_is_said_to_be_always_there_is_there() {
        let document: Value = serde_json::from_str(&crate::openapi::document()).expect("JSON");
        for (name, json) in EXAMPLES {
            let example: Value = serde_json::from_str(json).expect(name);
            let required = document["components"]["schemas"][name]["required"].as_array().expect(name);
            for field in required {
                assert!(example.get(field.as_str().expect("a name")).is_some(), "{name}.{field}");
            }
        }
    }
}
