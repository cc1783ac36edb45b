//! The OpenAPI 3.1 document, from the handlers and the engine's views.

use serde_json::{Value, json};
use utoipa::OpenApi;

use crate::routes::{agents, audit, calls, listenings, operations, page, people, player, requests, session, tokens};

#[derive(OpenApi)]
#[openapi(
    info(title = "Medlytt control API", description = "Silent monitoring for contact centres. Times are RFC 3339 in UTC; lists page by `cursor`; errors are RFC 9457 problems with a stable `code`."),
    paths(
        requests::order, requests::list, requests::one, requests::change, requests::resume, requests::delete,
        agents::list, agents::one, agents::upsert, agents::delete, agents::status,
        calls::list, calls::one, calls::shield,
        listenings::list, listenings::one, listenings::hang_up, listenings::change, listenings::watch_levels,
        player::start, player::restart, player::stop,
        operations::events, people::list, people::one, people::me, operations::status, audit::list,
        operations::healthz, operations::readyz, operations::metrics, operations::openapi, page::page, page::asset, page::icon,
        session::sign_in, session::shown, session::sign_out, session::sign_out_everywhere,
        tokens::list, tokens::make, tokens::revoke,
    ),
    components(schemas(
        crate::problem::Problem, crate::events::EventData<'_>, crate::events::ResyncData<'_>, crate::LevelsView,
        engine::view::EventName, engine::view::EventBody, engine::view::EndReason,
    ))
)]
struct Document;

/// What can be read without a token.
const OPEN: [&str; 7] = ["/healthz", "/readyz", "/metrics", "/openapi.json", "/", "/assets/{file}", "/icon.svg"];

/// The document as JSON.
pub(crate) fn document() -> String {
    let mut document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    document["info"]["version"] = json!(env!("CARGO_PKG_VERSION"));
    document["info"]["license"] = json!({"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"});
    document["security"] = json!([{"token": []}, {"session": []}]);
    document["components"]["securitySchemes"] = json!({
        "token": {"type": "http", "scheme": "bearer"},
        // requests that change something also need its CSRF token in the header X-CSRF-Token
        "session": {"type": "apiKey", "in": "cookie", "name": "medlytt_session"},
    });
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for operation in item.as_object_mut().into_iter().flatten().map(|(_, operation)| operation) {
            if operation.is_object() {
                complete(path, operation);
            }
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object_mut().into_iter().flatten() {
        // Bodies are read strictly.
        if name.ends_with("Body") && name != "EventBody" || name == "RequestChange" || name == "ListeningChange" {
            schema["additionalProperties"] = json!(false);
        }
    }
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

/// What every operation has: problems, and the open ones no security.
fn complete(path: &str, operation: &mut Value) {
    let problem = json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}});
    for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
        if status.starts_with(['4', '5']) {
            response["content"] = problem.clone();
        }
        if response["description"].as_str().unwrap_or("").is_empty() {
            response["description"] = json!("As it is now");
        }
    }
    operation["responses"]["default"] = json!({"description": "A problem (RFC 9457)", "content": problem});
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        // Optional means left out: neither a query nor a header can say `null`.
        if let Some(kind) = parameter["schema"]["type"][0].as_str() {
            parameter["schema"]["type"] = json!(kind);
        }
    }
    // A handler's name is only unique within its resource.
    if let (Some(tag), Some(name)) = (operation["tags"][0].as_str(), operation["operationId"].as_str()) {
        operation["operationId"] = json!(format!("{tag}_{name}"));
    }
    if OPEN.contains(&path) {
        operation["security"] = json!([]);
    }
}
