//! `DLQ.{LIST,SHOW,REPLAY,PURGE}`.

use myelin_store::Name;
use serde_json::{Value, json};

use super::super::error::StreamError;
use super::super::letters::{self, LetterFilter, LetterPage};
use super::super::reason::DeadReason;
use super::asked::{Fields, invalid};
use super::describe;
use super::requests::{Answer, Answered, found, json_of, sequence};
use super::server::Serving;
use crate::wire::Subject;

/// What is asked for with a filter, which another process gives as it was given.
pub(in super::super) fn filter_json(filter: &LetterFilter) -> Value {
    let LetterFilter { stream, consumer, subject, reason, older_than } = filter;
    json!({
        "stream": stream.as_ref().map(Name::as_str),
        "consumer": consumer.as_ref().map(Name::as_str),
        "subject": subject.as_ref().map(crate::wire::Filter::as_str),
        "reason": reason.map(DeadReason::as_str),
        "older_than_ms": older_than.map(describe::millis),
    })
}

fn filter(fields: &mut Fields) -> Result<LetterFilter, StreamError> {
    let mut name = |field: &'static str| {
        let name = |text: String| Name::new(&text).map_err(|error| invalid(field, error.to_string()));
        fields.text(field)?.map(name).transpose()
    };
    let (stream, consumer) = (name("stream")?, name("consumer")?);
    let known = || DeadReason::ALL.map(DeadReason::as_str).join(", ");
    let reason = |word: String| DeadReason::from_word(&word).ok_or_else(|| invalid("reason", format!("is none of {}", known())));
    Ok(LetterFilter {
        stream,
        consumer,
        subject: fields.filter("subject")?,
        reason: fields.text("reason")?.map(reason).transpose()?,
        older_than: fields.duration("older_than_ms")?,
    })
}

pub(super) async fn letters(serving: &Serving, verb: &str, body: &[u8]) -> Answered {
    let letters = serving.bus.dead_letters();
    let mut fields = Fields::parse(body)?;
    match verb {
        "LIST" => {
            let filter = filter(&mut fields)?;
            let from = fields.number("from")?.unwrap_or(0);
            let max = fields.number("max")?.map_or(LetterPage::LETTERS_MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
            fields.end()?;
            let page = letters.page(&filter, from, max).await?;
            let listed: Vec<Value> = page.letters.iter().map(describe::letter).collect();
            json_of(json!({ "letters": listed, "next": page.next, "more": page.next.is_some() }))
        }
        "SHOW" => {
            let sequence = sequence(&mut fields)?;
            let is_raw = fields.flag("raw")?.unwrap_or(false);
            fields.end()?;
            let stored = match serving.bus.get_stored(&letters::name(), sequence).await {
                Err(StreamError::NoStream { .. }) => None,
                stored => stored?,
            };
            found(stored, &letters::name(), sequence, is_raw)
        }
        "REPLAY" => {
            let sequence = sequence(&mut fields)?;
            let to = fields.text("to")?.map(|to| Subject::new(&to).map_err(|error| invalid("to", error.to_string()))).transpose()?;
            fields.end()?;
            let replayed = letters.replay(sequence, to.as_ref()).await;
            Ok(Answer::Json(replayed.map_or_else(|error| describe::replay_error(&error), |replayed| describe::replayed(&replayed))))
        }
        "PURGE" => {
            let mut purged = 0;
            let sequences = fields.list("sequences")?.ok_or_else(|| invalid("sequences", "say which letters"))?;
            fields.end()?;
            for sequence in sequences {
                let sequence = sequence.as_u64().ok_or_else(|| invalid("sequences", format!("{sequence} is no sequence")))?;
                purged += u64::from(letters.purge(sequence).await?);
            }
            json_of(json!({ "purged": purged }))
        }
        other => Err(invalid("request", format!("DLQ.{other} is nothing that can be asked"))),
    }
}
