//! The parameters and tables of lossless floats (FORMAT.md, "Float model").

use super::bytes::{ByteReader, put_varint};
use crate::entropy::{BitReader, BitWriter, ContextTables};
use crate::error::{Error, Result};
use crate::floats::{BOUNDS, CONTEXTS, FloatFormat, FloatModel, FloatParameters, MAX_PALETTE};
use crate::floats::{from_palette_order, palette_order};

const SIGNED: u8 = 1 << 2;
const GRID: u8 = 1 << 3;
const PALETTE: u8 = 1 << 4;
/// Bits of a token's number.
const TOKEN_BITS: u32 = 7;

/// Appends a model; `format` is the dtype's.
pub(crate) fn write_float_model(format: FloatFormat, model: &FloatModel, out: &mut Vec<u8>) {
    let FloatParameters { sub_bits, signed, zero_bits, top_key, grid, bounds, palette, .. } = &model.parameters;
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    out.push(*sub_bits as u8 | flag(*signed, SIGNED) | flag(grid.is_some(), GRID) | flag(!palette.is_empty(), PALETTE));
    out.push(*zero_bits as u8);
    put_varint(out, u64::from(*top_key));
    if let Some(grid) = grid {
        put_varint(out, u64::from(*grid));
    }
    if !palette.is_empty() {
        put_varint(out, palette.len() as u64);
        let mut next = 0;
        for &bits in palette {
            let order = u64::from(palette_order(format, bits));
            put_varint(out, order - next);
            next = order + 1;
        }
    }
    let mut writer = BitWriter::default();
    bounds.iter().for_each(|&bound| writer.write(u32::from(bound), TOKEN_BITS));
    model.tables.write_to(&mut writer);
    out.extend_from_slice(writer.finish());
}

/// Reads and validates a model; `format` is the dtype's.
pub(crate) fn read_float_model(reader: &mut ByteReader, format: FloatFormat) -> Result<FloatModel> {
    let flags = reader.u8()?;
    if flags & !(3 | SIGNED | GRID | PALETTE) != 0 {
        return Err(Error::corrupt(format!("unknown flags {flags:#x} of a float model")));
    }
    let zero_bits = u32::from(reader.u8()?);
    let number = |value: usize| u32::try_from(value).map_err(|_| Error::corrupt("a key is beyond the exponents"));
    let top_key = number(reader.varint()?)?;
    let grid = if flags & GRID != 0 { Some(number(reader.varint()?)?) } else { None };
    let palette = if flags & PALETTE != 0 { read_palette(reader, format)? } else { Vec::new() };
    let mut bits = BitReader::new(reader.rest());
    let mut bounds = [0; BOUNDS];
    for bound in &mut bounds {
        *bound = bits.read(TOKEN_BITS)? as u8;
    }
    let tables = ContextTables::read_from(&mut bits, CONTEXTS, 1)?;
    reader.take(bits.finish()?)?;
    let parameters = FloatParameters {
        format: if palette.is_empty() { format } else { FloatFormat::F32 },
        sub_bits: u32::from(flags & 3),
        signed: flags & SIGNED != 0,
        zero_bits,
        top_key,
        grid,
        bounds,
        palette,
    };
    let model = FloatModel { parameters, tables };
    model.validate()?;
    Ok(model)
}

fn read_palette(reader: &mut ByteReader, format: FloatFormat) -> Result<Vec<u32>> {
    let count = reader.varint()?;
    if count == 0 || count > MAX_PALETTE {
        return Err(Error::corrupt(format!("a palette of {count} values: allowed are 1 to {MAX_PALETTE}")));
    }
    let mut palette = Vec::new();
    let mut next = 0usize;
    for _ in 0..count {
        let order = reader.varint()?.checked_add(next).filter(|&order| order as u64 >> format.bits == 0);
        let order = order.ok_or_else(|| Error::corrupt("a value of a palette is beyond its dtype"))?;
        palette.push(from_palette_order(format, order as u32));
        next = order + 1;
    }
    Ok(palette)
}
