//! A worker's word about a message: `+ACK`, `-NAK {"delay_ms":…,"error":…}`, `+WPI`, `+TERM reason`, and `-GONE` for a worker that gives up
//! without having tried. As a request it is confirmed with `+OK`, or with the error.

use std::sync::Arc;

use myelin_store::{Name, Outcome};
use serde_json::Value;

use super::super::dead::Origin;
use super::super::engine::{Failure, StreamEngine, Streams};
use super::super::error::{ConsumeError, StreamError};
use super::super::job::terminate;
use super::asked::{Fields, invalid};
use super::server::Serving;
use super::{ACK, describe, requests};
use crate::Message;
use crate::wire::{Body, Subject};

/// Which delivery is meant: `$MYELIN.ACK.<stream>.<consumer>.<sequence>.<delivery>`.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Place {
    pub(in super::super) stream: Name,
    pub(in super::super) consumer: Name,
    pub(in super::super) sequence: u64,
    pub(in super::super) delivery: u32,
}

impl Place {
    pub(in super::super) fn parse(subject: &Subject) -> Option<Self> {
        let mut tokens = subject.as_str().strip_prefix(ACK)?.split('.');
        let place = Self {
            stream: Name::new(tokens.next()?).ok()?,
            consumer: Name::new(tokens.next()?).ok()?,
            sequence: tokens.next()?.parse().ok()?,
            delivery: tokens.next()?.parse().ok()?,
        };
        tokens.next().is_none().then_some(place)
    }

    pub(in super::super) fn subject(&self) -> Subject {
        let Self { stream, consumer, sequence, delivery } = self;
        Subject::new(&format!("{ACK}{stream}.{consumer}.{sequence}.{delivery}")).expect("names are tokens, and two of them fit")
    }
}

/// What a worker can say.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    Ack,
    Nak { delay_ms: Option<u64>, error: String },
    InProgress,
    Term { reason: String },
    Gone,
}

impl Word {
    fn parse(body: &[u8]) -> Result<Self, StreamError> {
        let text = String::from_utf8_lossy(body);
        let text = text.trim();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        match word {
            // JetStream takes no word for an ack as well.
            "+ACK" | "" => Ok(Self::Ack),
            "+WPI" => Ok(Self::InProgress),
            "+TERM" => Ok(Self::Term { reason: rest.trim().to_owned() }),
            "-GONE" => Ok(Self::Gone),
            "-NAK" => {
                let mut fields = Fields::parse(rest.as_bytes())?;
                let delay_ms = fields.number("delay_ms")?;
                // As JetStream has it: nanoseconds.
                let delay_ms = delay_ms.or(fields.number("delay")?.map(|nanos| nanos / 1_000_000));
                let error = fields.text("error")?.unwrap_or_default();
                fields.end()?;
                Ok(Self::Nak { delay_ms, error })
            }
            _ => Err(invalid("word", format!("{word:?} is none of +ACK, -NAK, +WPI, +TERM, -GONE"))),
        }
    }
}

/// Does what a worker says, and confirms it if that is wanted.
pub(super) async fn settle(serving: Arc<Serving>, message: Message) {
    serving.metrics.requests.inc();
    let settled = obey(&serving, &message).await;
    let Some(reply) = &message.reply else {
        if let Err(error) = settled {
            tracing::debug!(subject = %message.subject, %error, "nothing was settled");
        }
        return;
    };
    match settled {
        Ok(()) => requests::send(&serving, reply, None, Body::from("+OK")),
        Err(error) => requests::say(&serving, reply, &error),
    }
}

async fn obey(serving: &Serving, message: &Message) -> Result<(), Value> {
    let no_place = || describe::stream_error(&invalid("subject", "is not $MYELIN.ACK.<stream>.<consumer>.<sequence>.<delivery>"));
    let place = Place::parse(&message.subject).ok_or_else(no_place)?;
    let word = Word::parse(&requests::asked(&message.body)).map_err(|error| describe::stream_error(&error))?;
    let Some(streams) = &serving.bus.shared().streams else { return Err(describe::stream_error(&StreamError::NoStore)) };
    let done = act(serving, streams, &message.subject, &place, word).await;
    done.map_err(|error| describe::consume_error(&error))
}

async fn act(serving: &Serving, streams: &Streams, settle: &Subject, place: &Place, word: Word) -> Result<(), ConsumeError> {
    let Place { stream, consumer, sequence, delivery } = place;
    let (sequence, delivery) = (*sequence, *delivery);
    let failure = |outcome, error, delay| Failure { sequence, delivery, outcome, error, delay };
    let is_settled = match &word {
        Word::InProgress => {
            serving.hands.extend(settle);
            streams.extend(stream, consumer, sequence, delivery).await?
        }
        Word::Ack => {
            serving.hands.take(settle);
            streams.ack(stream, consumer, sequence, delivery).await?
        }
        Word::Nak { delay_ms, error } => {
            serving.hands.take(settle);
            let delay = delay_ms.map(std::time::Duration::from_millis);
            streams.fail(stream, consumer, failure(Outcome::Nak, error, delay)).await?
        }
        Word::Gone => {
            serving.hands.take(settle);
            streams.fail(stream, consumer, failure(Outcome::WorkerGone, "", Some(std::time::Duration::ZERO))).await?
        }
        Word::Term { reason } => {
            // Without a hand the sidecar was started again meanwhile: what ended before that is in the log only.
            let attempts = serving.hands.take(settle).map(|hand| hand.attempts).unwrap_or_default();
            terminate(streams, Origin { stream, consumer, sequence }, delivery, reason, attempts, None).await?;
            true
        }
    };
    if is_settled { Ok(()) } else { Err(ConsumeError::Stale { sequence }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_jetstream() {
        let nak = |delay_ms, error: &str| Word::Nak { delay_ms, error: error.to_owned() };
        for (body, word) in [
            ("+ACK", Word::Ack),
            ("", Word::Ack),
            ("+WPI", Word::InProgress),
            ("-NAK", nak(None, "")),
            ("-NAK {\"delay_ms\": 5, \"error\": \"busy\"}", nak(Some(5), "busy")),
            ("-NAK {\"delay\": 5000000}", nak(Some(5), "")),
            ("+TERM not JSON", Word::Term { reason: "not JSON".to_owned() }),
            ("-GONE", Word::Gone),
        ] {
            assert_eq!(Word::parse(body.as_bytes()), Ok(word), "{body}");
        }
        for body in ["+NXT", "-NAK 5", "ack"] {
            assert!(Word::parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let name = |name| Name::new(name).unwrap();
        let place = Place { stream: name("orders"), consumer: name("workers"), sequence: 7, delivery: 2 };
        assert_eq!(place.subject().as_str(), "$MYELIN.ACK.orders.workers.7.2");
        assert_eq!(Place::parse(&place.subject()), Some(place));
        for subject in ["$MYELIN.ACK.a.b.1", "$MYELIN.ACK.a.b.1.2.3", "$MYELIN.ACK.a.b.x.2", "a.b.1.2"] {
            assert_eq!(Place::parse(&Subject::new(subject).unwrap()), None, "{subject}");
        }
    }
}
