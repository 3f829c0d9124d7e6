//! The data phase of a CURVE session: the same messages and commands, each frame in a box.
//!
//! A box is opened where it lies. What stands before its payload is longer than the header of an open frame, so the header of a single frame is
//! written there, and the message is a slice of the read buffer as in an open session. The frames of longer messages are copied together.

use bytes::{Buf, BytesMut};
use myelin_bus::wire::{Body, write_frame_header};

use super::curve::{Batch, OVERHEAD};
use super::header::Header;
use super::{COMMAND_BYTES_MAX, Codec, CodecError, Command};

impl Codec {
    pub(super) fn handle_sealed(
        &mut self,
        input: &mut BytesMut,
        copies: bool,
        messages: &mut Vec<Body>,
        commands: &mut Vec<Command>,
    ) -> Result<(), CodecError> {
        let mut batch = Batch::new();
        loop {
            let Some(header) = Header::parse(input)? else {
                self.missing = 2;
                return Ok(());
            };
            let end = header.header_len + self.check_sealed(header)?;
            if input.len() < end {
                self.missing = end - input.len();
                return Ok(());
            }
            let opener = self.opener.as_mut().expect("only sealed sessions come here");
            // For the frames behind this one, too: their key streams are computed in one pass.
            if batch.is_empty() {
                opener.look_ahead(input, &mut batch);
            }
            let opened = opener.open(&mut input[header.header_len..end], &mut batch)?;
            let start = header.header_len + OVERHEAD;
            let payload_len = (end - start) as u64;
            let plain = Header { command: opened.command, more: opened.more, header_len: 0, payload_len };
            if opened.command {
                self.check_command(plain)?;
                commands.extend(Command::parse(bytes::Bytes::copy_from_slice(&input[start..end]))?);
                input.advance(end);
                continue;
            }
            self.check_frame(plain)?;
            self.partial.frames += 1;
            self.partial.payload += payload_len;
            if copies || opened.more || !self.partial.spilled.is_empty() {
                write_frame_header(&mut self.partial.spilled, opened.more, end - start);
                self.partial.spilled.extend_from_slice(&input[start..end]);
                input.advance(end);
                if !opened.more {
                    let packed = std::mem::take(&mut self.partial.spilled).freeze();
                    self.emit(packed, messages, commands);
                }
            } else {
                let front = write_header_before(input, start, end);
                input.advance(front);
                let packed = input.split_to(end - front).freeze();
                self.emit(packed, messages, commands);
            }
        }
    }

    /// Checks a box by its declared length. Whether a command or a frame is in it shows only later: a short one may be a command.
    fn check_sealed(&self, header: Header) -> Result<usize, CodecError> {
        let payload_len = header.payload_len.saturating_sub(OVERHEAD as u64);
        if payload_len > COMMAND_BYTES_MAX as u64 {
            self.check_frame(Header { more: false, payload_len, ..header })?;
        }
        Ok(usize::try_from(header.payload_len).expect("a length within the message limit fits"))
    }
}

/// Writes the header of a last frame whose payload is `input[start..end]` right before it, and returns where it begins.
fn write_header_before(input: &mut [u8], start: usize, end: usize) -> usize {
    let mut header = [0; 9];
    let len = end - start;
    let header = match u8::try_from(len) {
        Ok(len) => {
            header[1] = len;
            &header[..2]
        }
        Err(_) => {
            header[0] = 2;
            header[1..].copy_from_slice(&(len as u64).to_be_bytes());
            &header[..]
        }
    };
    input[start - header.len()..start].copy_from_slice(header);
    start - header.len()
}
