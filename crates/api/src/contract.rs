//! What the macros of the OpenAPI document cannot say, said once for all operations: descriptions of parameters that are
//! everywhere, headers, the problems that an operation may answer, and which fields are always there.

use serde_json::{Map, Value, json};

/// Parameters that mean the same everywhere.
const PARAMETERS: [(&str, &str); 9] = [
    ("id", "Id of the thing, as lists and answers give it"),
    ("session", "Last part of the `Location` that the offer was answered with"),
    ("limit", "Items of a page; default 50"),
    ("cursor", "`next_cursor` of the page before; belongs to this list and its order"),
    (
        "If-Match",
        "Entity tags, or `*`: only if the thing is still as one of them says, else 412 with its tag as it is now",
    ),
    ("If-None-Match", "Entity tags: 304 where the thing is still as one of them says"),
    (
        "Idempotency-Key",
        "1 to 255 printable characters: the same key and body of the same user get the first answer again, for 24 h",
    ),
    ("dry_run", "Only check: nothing is kept"),
    ("Last-Event-ID", "Go on after this event"),
];

/// How the values of parameters are written.
const PATTERNS: [(&str, &str); 2] =
    [("Idempotency-Key", "^[!-~]([ -~]{0,253}[!-~])?$"), ("cursor", "^([0-9a-f][0-9a-f])*$")];

/// Of any other text in a query.
const TEXT: &str = r"^[^\x00-\x1f\x7f-\x9f]*$";

/// How the texts of an agent are written.
const AGENT_TEXTS: [(&str, &str); 2] =
    [("/properties/id", "^[A-Za-z0-9_.~+*-]+$"), ("/properties/contact", "^sip:.+$")];

/// Headers of answers.
const HEADERS: [(&str, &str); 6] = [
    ("ETag", "Entity tag of the resource as it is shown"),
    ("Location", "Path of what was made"),
    ("Retry-After", "Seconds after which to try again"),
    ("Idempotent-Replayed", "`true`: this is the first answer to the key once more"),
    ("WWW-Authenticate", "`Bearer realm=\"medlytt\"`"),
    ("x-request-id", "Id of this request, also in problems and in the log"),
];

/// Fields that are left out where they would be `null`; all others are always there.
const LEFT_OUT: [(&str, &str); 8] = [
    ("ListenerRef", "user"),
    ("ListenerRef", "agent"),
    ("ListenerRef", "number"),
    ("Problem", "field"),
    ("Problem", "related"),
    ("Problem", "reasons"),
    ("BulkResult", "problem"),
    ("BulkProblem", "field"),
];

/// Texts out of a closed list.
const CLOSED: [(&str, &str, &[&str]); 5] = [
    ("AuditEntryView", "action", &engine::AUDIT_ACTIONS),
    (
        "CallEnd",
        "cause",
        &[
            "answered",
            "busy",
            "no-answer",
            "cancelled",
            "refused",
            "failed",
            "rtp-timeout",
            "engine-stopped",
            "engine-restarted",
        ],
    ),
    ("CallEnd", "by", &["caller", "agent", "callee", "engine", "network"]),
    ("LegView", "role", &["caller", "agent", "callee"]),
    ("CapacityView", "limited_by", &["max_calls", "media ports", "open files"]),
];

/// What some roles may not read at all.
const NOT_FOR_ALL: [&str; 4] = ["/v1/requests", "/v1/listenings", "/v1/users", "/v1/audit"];

/// Read without store and engine: always there.
const FROM_MEMORY: [&str; 9] = [
    "/v1/agents",
    "/v1/agents/{id}",
    "/v1/groups",
    "/v1/skills",
    "/v1/users",
    "/v1/users/{id}",
    "/v1/me",
    "/v1/status",
    "/v1/events/log",
];

/// Completes one operation: `method` in lower case.
pub(crate) fn complete(path: &str, method: &str, operation: &mut Value, is_open: bool) {
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        describe(parameter);
    }
    let names: Vec<String> = parameters(operation).map(str::to_owned).collect();
    let has = |name: &str| names.iter().any(|other| other == name);
    let mut problems: Vec<(&str, &str)> = Vec::new();
    if !is_open {
        problems.push(("401", "`unauthenticated`"));
        problems.push(("422", "`invalid-request`, with `field`"));
        if method != "get" || NOT_FOR_ALL.iter().any(|begins| path.starts_with(begins)) {
            problems.push(("403", "`forbidden`, or another code of this status"));
        }
        if !(method == "get" && FROM_MEMORY.contains(&path)) {
            problems.push(("503", "Busy, or the store or the engine cannot answer now; try again"));
        }
    }
    if has("id") {
        problems.push(("404", "There is no such thing, or one may not see it"));
    }
    if has("If-Match") {
        problems.push(("412", "`precondition-failed`, with the present `ETag`"));
    }
    if operation.get("requestBody").is_some() {
        problems.extend([
            ("400", "`malformed-body`"),
            ("408", "`request-timeout`"),
            ("413", "`body-too-large`"),
            ("415", "`unsupported-media-type`"),
        ]);
    }
    let responses = &mut operation["responses"];
    for (status, description) in problems {
        if responses.get(status).is_none() {
            responses[status] = json!({ "description": description });
        }
    }
    responses["default"] = json!({"description": "Any other problem (RFC 9457)"});
    for (status, response) in responses.as_object_mut().into_iter().flatten() {
        let is_good = status.starts_with('2') && method == "post" && has("Idempotency-Key");
        answer(status, response, is_good);
    }
}

/// Completes a schema of the components.
pub(crate) fn schema(name: &str, schema: &mut Value) {
    if is_read(name) {
        // Bodies are read strictly.
        schema["additionalProperties"] = json!(false);
        if let Some(skill) = schema.pointer_mut("/properties/skills/items") {
            (skill["minLength"], skill["maxLength"]) = (json!(1), json!(128));
        }
        for (field, pattern) in AGENT_TEXTS {
            if let Some(text) = schema.pointer_mut(field) {
                text["pattern"] = json!(pattern);
            }
        }
        return;
    }
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    let mut required = Vec::new();
    for (field, property) in properties.iter_mut() {
        if LEFT_OUT.contains(&(name, field.as_str())) {
            never_null(property);
        } else {
            required.push(json!(field));
        }
    }
    for (_, field, values) in CLOSED.iter().filter(|(of, ..)| *of == name) {
        if let Some(property) = properties.get_mut(*field) {
            property["enum"] = json!(values);
        }
    }
    schema["required"] = Value::Array(required);
}

/// An event's resource stands under its own key, beside what every event has.
pub(crate) fn event(description: &str, with_type: bool) -> Value {
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let mut properties = Map::new();
    let mut required = vec!["id", "at"];
    properties.insert("id".to_owned(), json!({"type": "string", "description": "For `Last-Event-ID` and `after`."}));
    if with_type {
        properties.insert("type".to_owned(), reference("EventName"));
        required.push("type");
    }
    properties
        .insert("at".to_owned(), json!({"type": "string", "format": "date-time", "description": "When it happened."}));
    for (key, view) in
        [("agent", "AgentView"), ("call", "CallView"), ("request", "RequestView"), ("listening", "ListeningView")]
    {
        properties.insert(key.to_owned(), reference(view));
    }
    json!({"type": "object", "description": description, "required": required, "properties": properties})
}

/// Names of a closed list with commas between them, as a pattern.
pub(crate) fn names(values: &Value) -> String {
    let names: Vec<&str> = values.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let one = format!("({})", names.join("|").replace('.', "[.]"));
    format!("^{one}(,{one})*$")
}

/// Gives such parameters their pattern.
pub(crate) fn lists(operation: &mut Value, lists: &[(&str, String)]) {
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some((_, pattern)) = lists.iter().find(|(name, _)| parameter["name"] == *name) {
            parameter["schema"]["pattern"] = json!(pattern);
        }
    }
}

fn is_read(name: &str) -> bool {
    name.ends_with("Body") && name != "EventBody" || name == "RequestChange" || name == "ListeningChange"
}

fn parameters(operation: &Value) -> impl Iterator<Item = &str> {
    operation.get("parameters").and_then(Value::as_array).into_iter().flatten().filter_map(|p| p["name"].as_str())
}

fn describe(parameter: &mut Value) {
    // Optional means left out: neither a query nor a header can say `null`.
    never_null(&mut parameter["schema"]);
    let known = PARAMETERS.iter().find(|(name, _)| parameter["name"] == *name);
    if let (None, Some((_, description))) = (parameter["description"].as_str(), known) {
        parameter["description"] = json!(description);
    }
    if parameter["in"] == "query" {
        // An empty value is no value.
        parameter["allowEmptyValue"] = json!(true);
    }
    if let Some((_, pattern)) = PATTERNS.iter().find(|(name, _)| parameter["name"] == *name) {
        parameter["schema"]["pattern"] = json!(pattern);
    }
    if parameter["in"] == "query" && parameter["schema"] == json!({"type": "string"}) {
        parameter["schema"]["pattern"] = json!(TEXT);
    }
    if parameter["name"] == "action" {
        parameter["schema"]["enum"] = json!(engine::AUDIT_ACTIONS);
    }
}

/// The type without `null`.
fn never_null(schema: &mut Value) {
    if let Some(kind) = schema["type"][0].as_str() {
        schema["type"] = json!(kind);
    }
    if let Some(one) = schema["oneOf"].as_array().and_then(|all| all.iter().find(|one| one["type"] != "null")) {
        let (one, description) = (one.clone(), schema["description"].clone());
        *schema = one;
        if description.is_string() {
            schema["description"] = description;
        }
    }
}

/// The headers of an answer, and the body of a problem.
fn answer(status: &str, response: &mut Value, may_replay: bool) {
    let is_problem = status.starts_with(['4', '5']) || status == "default";
    if is_problem {
        response["content"] = json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}});
    }
    if response["description"].as_str().unwrap_or("").is_empty() {
        response["description"] = json!("As it is now");
    }
    let mut headers = vec!["x-request-id"];
    match status {
        "304" | "412" => headers.push("ETag"),
        "401" => headers.push("WWW-Authenticate"),
        "503" => headers.push("Retry-After"),
        _ if may_replay => headers.push("Idempotent-Replayed"),
        _ => {}
    }
    let declared = response["headers"].as_object().map(|headers| headers.keys().cloned().collect::<Vec<_>>());
    let all = declared.into_iter().flatten().chain(headers.into_iter().map(str::to_owned));
    let described = all.map(|name| {
        let known = HEADERS.iter().find(|(header, _)| *header == name);
        let kind = if name == "Retry-After" { "integer" } else { "string" };
        let text = known.map_or("", |(_, description)| description);
        (name, json!({"description": text, "schema": {"type": kind}}))
    });
    response["headers"] = Value::Object(described.collect());
}
