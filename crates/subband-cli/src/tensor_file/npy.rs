//! NumPy's `.npy`: a magic, a header that is a Python dictionary, and the raw values.

use std::io::Write;

use anyhow::{Context, Result, bail, ensure};
use subband::{DType, Tensor};

pub const MAGIC: &[u8] = b"\x93NUMPY";

/// NumPy pads the header so that the values start at a multiple of this.
const ALIGNMENT: usize = 64;

/// What the header says about the values after it.
#[derive(Debug, PartialEq)]
struct Header {
    dtype: DType,
    big_endian: bool,
    fortran_order: bool,
    shape: Vec<usize>,
}

/// Reads a whole file: C or Fortran order, little or big endian.
pub fn read(bytes: &[u8]) -> Result<Tensor> {
    let (text, values) = split_header(bytes)?;
    let header = Header::parse(text).context("bad .npy header")?;
    let expected = super::byte_length(header.dtype, &header.shape)
        .with_context(|| format!("shape {:?} is larger than memory can hold", header.shape))?;
    ensure!(
        values.len() == expected,
        "shape {:?} of {} takes {expected} bytes, but the file holds {}",
        header.shape,
        header.dtype,
        values.len()
    );
    let size = header.dtype.size_bytes();
    if !(header.fortran_order || header.big_endian && size > 1) {
        return super::from_le_bytes(header.dtype, &header.shape, values);
    }
    let mut values = values.to_vec();
    if header.big_endian {
        values.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    if header.fortran_order {
        values = fortran_to_c(&values, size, &header.shape);
    }
    super::from_le_bytes(header.dtype, &header.shape, &values)
}

/// Writes the tensor in C order, little endian.
pub fn write(tensor: &Tensor, output: &mut impl Write) -> Result<()> {
    let descr = match tensor.dtype() {
        DType::F32 => "<f4",
        DType::F16 => "<f2",
        DType::U8 => "|u1",
        DType::I8 => "|i1",
        DType::U16 => "<u2",
        DType::I16 => "<i2",
        DType::Bf16 => bail!("NumPy files have no bf16: write .safetensors"),
    };
    let shape: String = tensor.shape().iter().map(|n| format!("{n}, ")).collect();
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}", shape.trim_end());
    // Magic, version and the 16-bit length come before the text, a newline after it.
    let prefix = MAGIC.len() + 4;
    text.extend(std::iter::repeat_n(
        ' ',
        (prefix + text.len() + 1).next_multiple_of(ALIGNMENT) - prefix - text.len() - 1,
    ));
    text.push('\n');
    output.write_all(MAGIC)?;
    output.write_all(&[1, 0])?;
    output.write_all(&u16::try_from(text.len()).context("too many axes for a .npy file")?.to_le_bytes())?;
    output.write_all(text.as_bytes())?;
    output.write_all(&super::to_le_bytes(tensor.data()))?;
    Ok(())
}

/// Splits a file into the header's text and the values.
fn split_header(bytes: &[u8]) -> Result<(&str, &[u8])> {
    let cut_short = || format!("the .npy header is cut short at {} bytes", bytes.len());
    let rest = bytes.strip_prefix(MAGIC).context("not a .npy file")?;
    let (version, rest) = rest.split_first_chunk::<2>().with_context(cut_short)?;
    let (length, rest) = match version {
        [1, _] => {
            let (length, rest) = rest.split_first_chunk::<2>().with_context(cut_short)?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        [2 | 3, _] => {
            let (length, rest) = rest.split_first_chunk::<4>().with_context(cut_short)?;
            (u32::from_le_bytes(*length) as usize, rest)
        }
        [major, minor] => bail!(".npy version {major}.{minor} is not supported: 1.0 to 3.0 are"),
    };
    let (text, values) = rest.split_at_checked(length).with_context(cut_short)?;
    Ok((str::from_utf8(text).context("the .npy header is not text")?, values))
}

impl Header {
    /// Parses the dictionary. Its three keys may come in any order; nesting is refused, so nothing recurses.
    fn parse(text: &str) -> Result<Self> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        let mut p = Parser { rest: text.trim_end() };
        p.expect('{')?;
        while !p.accept('}') {
            let key = p.string()?;
            p.expect(':')?;
            match key {
                "descr" => {
                    ensure!(!p.peek('['), "arrays of records are not supported");
                    descr = Some(p.string()?);
                }
                "fortran_order" => fortran_order = Some(p.boolean()?),
                "shape" => shape = Some(p.tuple()?),
                other => bail!("unknown key {other:?}"),
            }
            if !p.accept(',') {
                p.expect('}')?;
                break;
            }
        }
        ensure!(p.rest.trim().is_empty(), "{:?} after the dictionary", p.rest);
        let (dtype, big_endian) = dtype_of(descr.context("no 'descr'")?)?;
        Ok(Self {
            dtype,
            big_endian,
            fortran_order: fortran_order.context("no 'fortran_order'")?,
            shape: shape.context("no 'shape'")?,
        })
    }
}

/// Reads a type string such as `<f4`: the dtype, and whether its bytes are big endian.
fn dtype_of(descr: &str) -> Result<(DType, bool)> {
    let mut chars = descr.chars();
    let big_endian = chars.next() == Some('>');
    let dtype = match chars.as_str() {
        "f4" => DType::F32,
        "f2" => DType::F16,
        "u1" => DType::U8,
        "i1" => DType::I8,
        "u2" => DType::U16,
        "i2" => DType::I16,
        "f8" => bail!("dtype float64 is not supported: convert it to float32 first"),
        _ => bail!("dtype {descr:?} is not supported: float32, float16, uint8, int8, uint16 and int16 are"),
    };
    Ok((dtype, big_endian))
}

/// Reads the few kinds of Python literal that a header is made of.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn peek(&mut self, c: char) -> bool {
        self.rest = self.rest.trim_start();
        self.rest.starts_with(c)
    }

    fn accept(&mut self, c: char) -> bool {
        let found = self.peek(c);
        if found {
            self.rest = &self.rest[c.len_utf8()..];
        }
        found
    }

    fn expect(&mut self, c: char) -> Result<()> {
        ensure!(self.accept(c), "expected {c:?}, found {:?}", self.start());
        Ok(())
    }

    /// The next few characters, for a message.
    fn start(&self) -> &'a str {
        let end = self.rest.char_indices().nth(12).map_or(self.rest.len(), |(at, _)| at);
        &self.rest[..end]
    }

    fn string(&mut self) -> Result<&'a str> {
        let quote = if self.peek('"') { '"' } else { '\'' };
        self.expect(quote)?;
        let (string, rest) = self.rest.split_once(quote).context("a text without its closing quote")?;
        self.rest = rest;
        Ok(string)
    }

    fn boolean(&mut self) -> Result<bool> {
        self.rest = self.rest.trim_start();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                return Ok(value);
            }
        }
        bail!("expected True or False, found {:?}", self.start())
    }

    fn tuple(&mut self) -> Result<Vec<usize>> {
        let mut axes = Vec::new();
        self.expect('(')?;
        while !self.accept(')') {
            self.rest = self.rest.trim_start();
            let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
            let (digits, rest) = self.rest.split_at(end);
            axes.push(digits.parse().with_context(|| format!("bad axis length at {:?}", self.start()))?);
            // Python 2 wrote long integers as 3L.
            self.rest = rest.strip_prefix('L').unwrap_or(rest);
            if !self.accept(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(axes)
    }
}

/// Reorders values of `size` bytes from first-axis-fastest to last-axis-fastest.
fn fortran_to_c(values: &[u8], size: usize, shape: &[usize]) -> Vec<u8> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = size;
    for &n in shape {
        strides.push(stride);
        stride *= n;
    }
    let mut result = Vec::with_capacity(values.len());
    let mut position = vec![0; shape.len()];
    let mut offset = 0;
    while result.len() < values.len() {
        result.extend_from_slice(&values[offset..offset + size]);
        for axis in (0..shape.len()).rev() {
            position[axis] += 1;
            offset += strides[axis];
            if position[axis] < shape[axis] {
                break;
            }
            offset -= strides[axis] * shape[axis];
            position[axis] = 0;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_numpy_writes() {
        let header = Header::parse("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }      \n").unwrap();
        assert_eq!(header, Header { dtype: DType::F32, big_endian: false, fortran_order: false, shape: vec![2, 3] });
        let header = Header::parse("{\"shape\": (4L,5L), 'fortran_order':True, 'descr': '>i2'}").unwrap();
        assert_eq!(header, Header { dtype: DType::I16, big_endian: true, fortran_order: true, shape: vec![4, 5] });
        let header = Header::parse("{'descr': '|u1', 'fortran_order': False, 'shape': ()}").unwrap();
        assert_eq!((header.dtype, header.shape.len()), (DType::U8, 0));
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        for (text, message) in [
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }", "float32"),
            ("{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }", "<i4"),
            ("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (2, 3), }", "records"),
            ("{'descr': '<f4', 'fortran_order': Maybe, 'shape': (2, 3), }", "True or False"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, -3), }", "axis length"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 3), }", "axis length"),
            ("{'descr': '<f4', 'fortran_order': False, }", "no 'shape'"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } x", "after the dictionary"),
            ("", "expected '{'"),
            ("{'descr", "closing quote"),
        ] {
            let error = Header::parse(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn fortran_order_of_a_hand_worked_tensor() {
        // [[0, 1, 2], [3, 4, 5]] with the first axis fastest.
        assert_eq!(fortran_to_c(&[0, 3, 1, 4, 2, 5], 1, &[2, 3]), [0, 1, 2, 3, 4, 5]);
        assert!(fortran_to_c(&[], 1, &[2, 0]).is_empty());
    }
}
