//! What a protocol may do to bytes on their last step into the socket.

use bytes::BytesMut;

/// Turns what the queue holds into what goes over the wire, for protocols that encrypt. One call at a time, in the order of the wire, after every
/// policy has dropped what it drops and protocol bytes have overtaken what they overtake: so counters of the protocol match what the peer sees.
pub trait Seal: Send + Sync + 'static {
    /// Appends the wire form of `plain`, which is whole messages and protocol units as they were pushed.
    fn seal(&self, plain: &[u8], out: &mut BytesMut);
}
