//! The bytes: streams, packets and their parts, as docs/FORMAT.md defines them.

mod activity_chunk;
mod bytes;
mod chunk;
mod chunk_coder;
mod chunk_plan;
mod coding;
mod constants;
mod float_chunk;
mod float_model;
mod header;
mod limits;
mod mixing_chunk;
mod opening;
mod packet;
mod payload;
mod short_steps;
mod spread_chunk;
#[cfg(test)]
mod test_chunks;

pub(crate) use bytes::{ByteReader, put_f32, put_string, put_varint};
pub(crate) use chunk_coder::{ChunkCoder, ChunkScratch, EntropyModel, PayloadKind};
pub(crate) use coding::{StepForm, read_coding, write_coding};
pub(crate) use constants::{PROFILE_MAGIC, VERSION, VERSION_2, VERSION_3, VERSION_4, VERSION_5};
pub(crate) use float_chunk::{begin_float_payload, read_float_payload};
pub(crate) use header::{CHECKSUM_BYTES, Chunk, ChunkGrid, Header, StoredChunk, TableSource};
pub use limits::Limits;
pub use opening::{StreamShape, shape_of};
pub(crate) use packet::{open_packet, write_packet};
