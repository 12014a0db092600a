//! Magic numbers and the version of the format.

/// Version of streams, packets and profiles that need nothing newer.
pub(crate) const VERSION: u8 = 1;
/// Version of those with activity models or payloads or lossless floats. The encoder writes the lowest version that has what
/// it needs.
pub(crate) const VERSION_2: u8 = 2;
/// Version of those with mixing models or payloads.
pub(crate) const VERSION_3: u8 = 3;
/// Version of those with spread models or payloads.
pub(crate) const VERSION_4: u8 = 4;
/// Version of profiles with a tap whose encoder passes rounding errors on, and the newest of profiles.
pub(crate) const VERSION_5: u8 = 5;
/// Version of streams of one chunk, with short steps, or with chunk payloads of 64 lanes.
pub(crate) const VERSION_6: u8 = 6;

/// First bytes of a stream.
pub(crate) const STREAM_MAGIC: [u8; 4] = *b"SBD\x1a";
/// First bytes of a profile.
pub(crate) const PROFILE_MAGIC: [u8; 4] = *b"SBP\x1a";
/// High half of the first byte of a packet; the low half is the kind of its payload.
pub(crate) const PACKET_MAGIC: u8 = 0xB0;

/// Largest rank of a tensor in a stream.
pub(crate) const MAX_RANK: usize = 32;
