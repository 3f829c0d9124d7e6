//! Dead letters of a sidecar, asked for by request: the other side does all of it, having the same code.

use serde_json::json;

use super::super::api::{buried, letters};
use super::super::dead::Death;
use super::super::error::{PublishDurableError, StreamError};
use super::super::letters::{Letter, LetterFilter, LetterPage, ReplayError, Replayed};
use super::super::verbs::Receipt;
use super::{Attached, errors, refused, request_subject, told};
use crate::Message;
use crate::wire::{Body, Subject};

impl Attached {
    /// Keeps a message as a dead letter that never was in a stream.
    pub(crate) async fn bury(&self, message: &Message, death: &Death) -> Result<Receipt, PublishDurableError> {
        let refused = |error| refused(&message.subject, error);
        let request = buried::give(message, death, request_subject("DLQ.BURY").map_err(refused)?);
        let reply = self.request(request).await.map_err(refused)?;
        let answer = told::json(&reply.body).map_err(refused)?;
        match errors::publish_error(&answer, &message.subject) {
            Some(error) => Err(error),
            None => told::receipt(&answer).map_err(refused),
        }
    }

    /// Some dead letters.
    pub(crate) async fn letters(&self, filter: &LetterFilter, from: u64, max: usize) -> Result<LetterPage, StreamError> {
        let mut asked = letters::filter_json(filter);
        (asked["from"], asked["max"]) = (from.into(), max.into());
        let answer = self.ask("DLQ.LIST", asked).await?;
        let letters = answer["letters"].as_array().into_iter().flatten().filter_map(Letter::from_json).collect();
        Ok(LetterPage { letters, next: answer["next"].as_u64() })
    }

    /// Sends a dead letter's message on its way again.
    pub(crate) async fn replay_letter(&self, sequence: u64, to: Option<&Subject>) -> Result<Replayed, ReplayError> {
        let asked = json!({ "sequence": sequence, "to": to.map(Subject::as_str) });
        let reply = self.request(Message::new(request_subject("DLQ.REPLAY")?, Body::from(asked.to_string()))).await?;
        let answer = told::json(&reply.body)?;
        if let Some(error) = errors::replay_error(&answer) {
            return Err(error);
        }
        match told::answered(&answer) {
            Some(answered) => Ok(answered),
            None => Ok(Replayed::Stored(told::receipt(&answer)?)),
        }
    }
}
