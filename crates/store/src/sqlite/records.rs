//! Writes changes: a record is one JSON document with the columns that searches need beside it.

use engine::persist::{AgentRecord, Change, RequestRecord};
use engine::view::{CallView, ListeningView};
use rusqlite::{Connection, params};
use serde::Serialize;

use crate::StoreError;
use crate::query::{began, listener_key};

pub(super) fn write(connection: &Connection, change: &Change) -> Result<(), StoreError> {
    match change {
        Change::Request(request) => write_request(connection, request),
        Change::Listening(listening) => write_listening(connection, listening),
        Change::Heard(listening, request) => {
            write_listening(connection, listening)?;
            write_request(connection, request)
        }
        Change::Call(call) => {
            let sql = "INSERT OR REPLACE INTO call (id, agent, doc) VALUES (?, ?, ?)";
            connection.prepare_cached(sql)?.execute(params![call.id, call.agent, print(&with_finite_jitter(call))?])?;
            Ok(())
        }
        Change::Agent(agent) => write_agent(connection, &agent.id, Some(agent)),
        Change::AgentRemoved(id) => write_agent(connection, id, None),
        Change::Audit(_)
        | Change::Answer(_)
        | Change::Registrations { .. }
        | Change::Dialog(_)
        | Change::DialogEnded(_) => Ok(()),
    }
}

pub(super) fn write_request(connection: &Connection, request: &RequestRecord) -> Result<(), StoreError> {
    let view = &request.view;
    let sql = "INSERT OR REPLACE INTO request (id, agent, ordered_by, state, active, doc) VALUES (?, ?, ?, ?, ?, ?)";
    connection.prepare_cached(sql)?.execute(params![
        view.id,
        view.agent.id,
        view.ordered_by,
        name(view.state),
        view.state.is_active(),
        print(request)?
    ])?;
    Ok(())
}

pub(super) fn write_listening(connection: &Connection, view: &ListeningView) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO listening (id, agent, listener, ordered_by, caller, state, began, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    connection.prepare_cached(sql)?.execute(params![
        view.id,
        view.agent.id,
        listener_key(view),
        view.ordered_by,
        view.caller_number,
        name(view.state),
        began(view).map(nanoseconds),
        print(view)?
    ])?;
    Ok(())
}

pub(super) fn write_agent(connection: &Connection, id: &str, agent: Option<&AgentRecord>) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO agent (id, doc) VALUES (?, ?)";
    connection.prepare_cached(sql)?.execute(params![id, agent.map(print).transpose()?])?;
    Ok(())
}

/// JSON has no NaN: a record that holds one could be written but never read.
pub(super) fn with_finite_jitter(call: &CallView) -> CallView {
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

/// Times beyond what 64 bits hold (years 1677 to 2262) sort as the first and the last.
pub(super) fn nanoseconds(at: jiff::Timestamp) -> i64 {
    let nanoseconds = at.as_nanosecond();
    i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
}
