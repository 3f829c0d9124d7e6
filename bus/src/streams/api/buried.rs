//! `DLQ.BURY`: a letter of a message that never was in a stream, from another process. The request is the message as it is; what is known of
//! its death is in one header beside its own, as JSON, since a text of any agent may be in it.

use myelin_store::Name;
use serde_json::{Value, json};

use super::super::dead::{Death, bury_stray};
use super::super::error::StreamError;
use super::super::headers::Headers;
use super::super::reason::{DeadReason, Fault};
use super::asked::{Fields, invalid};
use super::describe;
use super::server::Serving;
use crate::Message;
use crate::wire::Subject;

const BURY: &str = "Myelin-Bury";

/// The request for a letter.
pub(in super::super) fn give(message: &Message, death: &Death, subject: Subject) -> Message {
    let told = json!({
        "subject": message.subject.as_str(),
        "origin": death.origin.as_str(),
        "stage": death.stage.as_str(),
        "reason": death.reason.as_str(),
        "fault": death.fault.as_str(),
        "error": death.error,
    });
    let mut request = message.clone();
    (request.subject, request.reply) = (subject, None);
    request.meta.get_or_insert_default().headers.push((BURY.into(), told.to_string().into()));
    request
}

/// Stores the letter; the receipt, or the error.
pub(super) async fn bury(serving: &Serving, mut message: Message) -> Value {
    let Some(streams) = &serving.bus.shared().streams else { return describe::stream_error(&StreamError::NoStore) };
    let death = match take(&mut message) {
        Ok(death) => death,
        Err(error) => return describe::stream_error(&error),
    };
    let buried = bury_stray(streams, &message, &death).await;
    buried.map_or_else(|error| describe::publish_error(&error), |receipt| describe::receipt(&receipt))
}

/// Takes what was added to the message out of it again.
fn take(message: &mut Message) -> Result<Death, StreamError> {
    let headers: &mut Headers = &mut message.meta.as_mut().ok_or_else(|| invalid("request", format!("has no header {BURY}")))?.headers;
    // The last one: a message may come with what another request put into it.
    let place = headers.iter().rposition(|(name, _)| **name == *BURY);
    let (_, told) = headers.remove(place.ok_or_else(|| invalid("request", format!("has no header {BURY}")))?);
    let mut fields = Fields::parse(&told)?;
    let mut text = |field| fields.text(field)?.ok_or_else(|| invalid(field, "is missing"));
    let name = |text: String| Name::new(&text).map_err(|error| invalid("name", error.to_string()));
    let (subject, origin, stage, reason, fault) = (text("subject")?, text("origin")?, text("stage")?, text("reason")?, text("fault")?);
    let error = text("error")?.into();
    fields.end()?;
    message.subject = Subject::new(&subject).map_err(|error| invalid("subject", error.to_string()))?;
    Ok(Death {
        origin: name(origin)?,
        stage: name(stage)?,
        reason: DeadReason::from_word(&reason).ok_or_else(|| invalid("reason", format!("{reason:?} is no reason")))?,
        fault: Fault::from_word(&fault).ok_or_else(|| invalid("fault", format!("{fault:?} is nobody's")))?,
        error,
    })
}
