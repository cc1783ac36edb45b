//! Writes changes: a record is one JSON document with the columns that searches need beside it.

use engine::persist::{AgentRecord, AnswerRecord, Change, RequestRecord};
use engine::view::{CallView, ListeningView};
use rusqlite::{Connection, Params, params};
use serde::Serialize;

use super::audit::Trail;
use super::claims;
use crate::StoreError;
use crate::query::{began, ended, listener_key, nanoseconds};

/// Writes one change; entries of the audit trail go through `trail`.
pub(super) fn write(connection: &Connection, trail: &mut Trail, change: &Change) -> Result<(), StoreError> {
    match change {
        Change::Request(request) => write_request(connection, request),
        Change::Listening(listening) => write_listening(connection, listening),
        Change::Heard(listening, request) => {
            write_listening(connection, listening)?;
            claims::heard(connection, &request.view.id, &listening.id)?;
            write_request(connection, request)
        }
        Change::Call(call) => write_call(connection, call),
        Change::Agent(agent) => write_agent(connection, &agent.id, Some(agent)),
        Change::AgentRemoved(id) => write_agent(connection, id, None),
        Change::Audit(entry) => trail.append(connection, entry),
        Change::Answer(answer) => write_answer(connection, answer),
        Change::Registrations { user, bindings } if bindings.is_empty() => {
            delete(connection, "DELETE FROM registration WHERE user = ?", user)
        }
        Change::Registrations { user, bindings } => {
            let sql = "INSERT OR REPLACE INTO registration (user, doc) VALUES (?, ?)";
            execute(connection, sql, params![user, print(bindings)?])
        }
        Change::Dialog(dialog) => {
            let sql = "INSERT OR REPLACE INTO dialog (key, doc) VALUES (?, ?)";
            execute(connection, sql, params![dialog.key, print(dialog)?])
        }
        Change::DialogEnded(key) => delete(connection, "DELETE FROM dialog WHERE key = ?", key),
        Change::Document { kind, id, doc: Some(doc) } => {
            let sql = "INSERT OR REPLACE INTO document (kind, id, doc) VALUES (?, ?, ?)";
            execute(connection, sql, params![kind, id, doc])
        }
        Change::Document { kind, id, doc: None } => {
            execute(connection, "DELETE FROM document WHERE kind = ? AND id = ?", params![kind, id])
        }
    }
}

fn write_request(connection: &Connection, request: &RequestRecord) -> Result<(), StoreError> {
    let view = &request.view;
    if !view.state.is_active() {
        claims::over(connection, &view.id)?;
    }
    let sql = "INSERT OR REPLACE INTO request (id, agent, ordered_by, state, active, doc) VALUES (?, ?, ?, ?, ?, ?)";
    let (state, active) = (name(view.state), view.state.is_active());
    execute(connection, sql, params![view.id, view.agent.id, view.ordered_by, state, active, print(request)?])
}

fn write_listening(connection: &Connection, view: &ListeningView) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO listening (id, agent, listener, ordered_by, caller, state, began, doc) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let values = params![
        view.id,
        view.agent.id,
        listener_key(view),
        view.ordered_by,
        view.caller_number,
        name(view.state),
        began(view).map(nanoseconds),
        print(view)?
    ];
    execute(connection, sql, values)
}

fn write_call(connection: &Connection, call: &CallView) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO call (id, agent, ended, doc) VALUES (?, ?, ?, ?)";
    let ended = nanoseconds(ended(call));
    execute(connection, sql, params![call.id, call.agent, ended, print(&with_finite_jitter(call))?])
}

fn write_agent(connection: &Connection, id: &str, agent: Option<&AgentRecord>) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO agent (id, doc) VALUES (?, ?)";
    execute(connection, sql, params![id, agent.map(print).transpose()?])
}

fn write_answer(connection: &Connection, answer: &AnswerRecord) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO answer (user, key, at, doc) VALUES (?, ?, ?, ?)";
    execute(connection, sql, params![answer.user, answer.key, nanoseconds(answer.at), print(answer)?])
}

fn delete(connection: &Connection, sql: &str, key: &str) -> Result<(), StoreError> {
    execute(connection, sql, params![key])
}

fn execute(connection: &Connection, sql: &str, values: impl Params) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

/// JSON has no NaN: a record that holds one could be written but never read.
fn with_finite_jitter(call: &CallView) -> CallView {
    let mut call = call.clone();
    for leg in &mut call.legs {
        if !leg.jitter_ms.is_finite() {
            leg.jitter_ms = 0.0;
        }
    }
    call
}

pub(super) fn print<T: Serialize>(record: &T) -> Result<String, StoreError> {
    serde_json::to_string(record).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// The name of a unit variant, as in JSON.
pub(super) fn name<T: Serialize>(state: T) -> String {
    match serde_json::to_value(state) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}
