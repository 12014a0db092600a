//! Profiles: what the encoder and the decoder of a network's maps share (FORMAT.md, "Profiles").

use std::fmt;

use sha2::{Digest, Sha256};

use crate::coding::Coding;
use crate::effort::Effort;
use crate::entropy::{ActivityModel, BitReader, BitWriter, ContextTables};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{
    ByteReader, EntropyModel, Limits, PROFILE_MAGIC, PayloadKind, StepForm, VERSION, VERSION_2, VERSION_3, VERSION_4,
    VERSION_5, put_f32, put_string, put_varint, read_coding, write_coding,
};
use crate::mixing::MixingModel;
use crate::spread::SpreadModel;
use crate::wavelet::subband_count;

/// Kinds of the parts that follow the tables, or in version 3 the activity model.
const MIXING_PART: u8 = 4;
const SPREAD_PART: u8 = 8;
/// What a tap body since version 4 is like: as one of version 3, or with parts alone.
const OLD_FORM: u8 = 0;
const PARTS_FORM: u8 = 1;
/// Added to either since version 5: the share of errors that is passed on is in front of the body.
const WITH_DIFFUSION: u8 = 2;

/// First 8 bytes of the SHA-256 of a tap's bytes: names coding and tables exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TapHash(pub [u8; 8]);

/// One tap of a profile: the place in the network, the shape of its maps, coding and tables.
#[derive(Debug, Clone, PartialEq)]
pub struct TapProfile {
    name: String,
    shape: [usize; 3],
    coding: Coding,
    tables: ContextTables,
    /// Of profiles of versions 2 and 3.
    activity: Option<ActivityModel>,
    spread: Option<SpreadModel>,
    /// Only beside an activity or a spread model.
    mixing: Option<MixingModel>,
    hash: TapHash,
}

impl TapProfile {
    pub(crate) fn new(
        name: String,
        shape: [usize; 3],
        coding: Coding,
        tables: ContextTables,
        spread: Option<SpreadModel>,
        mixing: Option<MixingModel>,
    ) -> Self {
        let mixing = mixing.filter(|_| spread.is_some());
        let mut tap = TapProfile { name, shape, coding, tables, activity: None, spread, mixing, hash: TapHash([0; 8]) };
        tap.hash = tap_hash(&tap.body());
        tap
    }

    /// Name of the tap, such as `layer1.0`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Channels, height and width of a map.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Transform, quantizer and mask.
    pub fn coding(&self) -> &Coding {
        &self.coding
    }

    /// Number of frequency tables, over all efforts.
    pub fn table_count(&self) -> usize {
        let of_activity = self.activity.as_ref().map_or(0, |model| model.tables().len());
        let of_spread = self.spread.as_ref().map_or(0, |model| model.tables().len());
        self.tables.tables().len() + of_activity + of_spread
    }

    /// Whether the tap has what [`Effort::Default`] codes with; profiles of version 1 have not, and those of versions 2 and 3
    /// have an older model, with which it takes about a tenth more bytes.
    pub fn has_spread_model(&self) -> bool {
        self.spread.is_some()
    }

    /// Whether the tap has the older model of [`Effort::Default`].
    pub fn has_activity_model(&self) -> bool {
        self.activity.is_some()
    }

    /// Whether the tap has what [`Effort::Max`] codes with.
    pub fn has_mixing_model(&self) -> bool {
        self.mixing.is_some()
    }

    pub(crate) fn order_zero_tables(&self) -> usize {
        self.tables.tables().len()
    }

    pub(crate) fn activity_model(&self) -> Option<&ActivityModel> {
        self.activity.as_ref()
    }

    pub(crate) fn spread_model(&self) -> Option<&SpreadModel> {
        self.spread.as_ref()
    }

    pub(crate) fn mixing_model(&self) -> Option<&MixingModel> {
        self.mixing.as_ref()
    }

    /// What payloads of a kind are coded with, if the tap has it.
    pub(crate) fn model(&self, kind: PayloadKind) -> Option<EntropyModel> {
        match kind {
            PayloadKind::OrderZero => Some(EntropyModel::OrderZero(self.tables.clone())),
            PayloadKind::Activity => self.activity.clone().map(EntropyModel::Activity),
            PayloadKind::Mixing => self.mixing.clone().map(EntropyModel::Mixing),
            PayloadKind::Spread => self.spread.clone().map(EntropyModel::Spread),
        }
    }

    /// The best that the tap has for an effort.
    pub(crate) fn model_for(&self, effort: Effort) -> EntropyModel {
        let kinds: &[PayloadKind] = match effort {
            Effort::Fast => &[],
            Effort::Default => &[PayloadKind::Spread, PayloadKind::Activity],
            Effort::Max => &[PayloadKind::Mixing, PayloadKind::Spread, PayloadKind::Activity],
        };
        let order_zero = || EntropyModel::OrderZero(self.tables.clone());
        kinds.iter().find_map(|&kind| self.model(kind)).unwrap_or_else(order_zero)
    }

    pub(crate) fn hash(&self) -> TapHash {
        self.hash
    }

    pub(crate) fn without_mixing_model(self) -> Self {
        let mut tap = TapProfile { mixing: None, ..self };
        tap.hash = tap_hash(&tap.body());
        tap
    }

    fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_string(&mut out, &self.name);
        self.shape.iter().for_each(|&size| put_varint(&mut out, size as u64));
        put_f32(&mut out, self.coding.rounding);
        out.push(self.coding.index_bits);
        write_coding(&self.coding, StepForm::Floats, &mut out);
        let mut writer = BitWriter::default();
        self.tables.write_to(&mut writer);
        out.extend_from_slice(writer.finish());
        if let Some(model) = &self.activity {
            let mut writer = BitWriter::default();
            model.write_to(&mut writer);
            out.extend_from_slice(writer.finish());
        }
        if let Some(model) = &self.mixing {
            let mut writer = BitWriter::default();
            model.write_to(&mut writer);
            out.push(MIXING_PART);
            out.extend_from_slice(writer.finish());
        }
        if let Some(model) = &self.spread {
            let mut writer = BitWriter::default();
            model.write_to(&mut writer);
            out.push(SPREAD_PART);
            out.extend_from_slice(writer.finish());
        }
        out
    }

    fn read_from(body: &[u8], form: Form, limits: &Limits) -> Result<Self> {
        let mut reader = ByteReader::new(body, "tap of the profile");
        let name = reader.string()?.to_owned();
        let shape = [reader.varint()?, reader.varint()?, reader.varint()?];
        if shape.contains(&0) {
            return Err(Error::corrupt(format!("tap '{name}' has the shape {shape:?}")));
        }
        limits.check_shape(&shape)?;
        let rounding = reader.f32()?;
        let index_bits = reader.u8()?;
        let coding = Coding { rounding, index_bits, ..read_coding(&mut reader, StepForm::Floats, shape[0])? };
        coding.validate(shape[0]).map_err(|error| Error::corrupt(error.to_string()))?;
        if coding.lossless {
            return Err(Error::corrupt(format!("tap '{name}' is lossless: profiles code float maps")));
        }
        let subbands = subband_count(coding.levels);
        let mut bits = BitReader::new(reader.rest());
        let tables = ContextTables::read_from(&mut bits, subbands, shape[0])?;
        reader.take(bits.finish()?)?;
        if !tables.can_code_all() {
            return Err(Error::corrupt(format!("tap '{name}' has a frequency table without an escape")));
        }
        let mut activity = None;
        if form.activity && !reader.rest().is_empty() {
            let mut bits = BitReader::new(reader.rest());
            activity = Some(ActivityModel::read_from(&mut bits, subbands, shape[0])?);
            reader.take(bits.finish()?)?;
        }
        let (mut mixing, mut spread) = (None, None);
        let mut before = 0;
        while form.parts > before && !reader.rest().is_empty() {
            let part = reader.u8()?;
            let mut bits = BitReader::new(reader.rest());
            match part {
                MIXING_PART if part > before => mixing = Some(MixingModel::read_from(&mut bits, subbands, shape[0])?),
                SPREAD_PART if part > before && form.parts >= part => {
                    spread = Some(SpreadModel::read_from(&mut bits, subbands, shape[0])?);
                }
                _ => return Err(Error::corrupt(format!("tap '{name}' has an unknown part {part}"))),
            }
            reader.take(bits.finish()?)?;
            before = part;
        }
        if spread.is_none() && (form.parts == SPREAD_PART || mixing.is_some() && activity.is_none()) {
            return Err(Error::corrupt(format!("tap '{name}' has no spread model")));
        }
        reader.finish()?;
        let tap = TapProfile { name, shape, coding, tables, activity, spread, mixing, hash: tap_hash(body) };
        // Another way to write the same would have another hash, and a profile read and written again would not know its streams.
        if tap.body() != body {
            return Err(Error::corrupt(format!("tap '{}' is not written the one way there is", tap.name)));
        }
        Ok(tap)
    }
}

/// What may follow the tables of a tap body.
#[derive(Debug, Clone, Copy)]
struct Form {
    activity: bool,
    /// The last kind of part, or 0.
    parts: u8,
}

impl Form {
    fn of_version(version: u8) -> Self {
        Form { activity: version >= VERSION_2, parts: if version >= VERSION_3 { MIXING_PART } else { 0 } }
    }

    const PARTS: Form = Form { activity: false, parts: SPREAD_PART };
}

fn tap_hash(body: &[u8]) -> TapHash {
    let digest = Sha256::digest(body);
    TapHash(std::array::from_fn(|i| digest[i]))
}

/// A trained codec: its taps in the order of the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    network: String,
    taps: Vec<TapProfile>,
}

/// SHA-256 of a profile's bytes; displays as hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileHash(pub [u8; 32]);

impl fmt::Display for ProfileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Profile {
    /// A profile for a network (a free name). Errors: two taps of one name.
    pub fn new(network: impl Into<String>, taps: Vec<TapProfile>) -> Result<Self> {
        for (i, tap) in taps.iter().enumerate() {
            if taps[..i].iter().any(|other| other.name == tap.name) {
                return Err(Error::invalid(format!("two taps of the profile are named '{}'", tap.name)));
            }
        }
        Ok(Profile { network: network.into(), taps })
    }

    /// The same profile with rounded steps, [`Steps::rounded`](crate::Steps::rounded), and everything else kept: tables and models
    /// fit steps that are 0.05% off as well. What was coded against the profile before needs that one.
    pub fn with_rounded_steps(self) -> Self {
        let taps = self.taps.into_iter().map(|mut tap| {
            tap.coding.steps = tap.coding.steps.rounded();
            tap.hash = tap_hash(&tap.body());
            tap
        });
        Profile { network: self.network, taps: taps.collect() }
    }

    /// The network that the profile was made for.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// All taps.
    pub fn taps(&self) -> &[TapProfile] {
        &self.taps
    }

    /// The tap of a name. Error: there is none; the message lists the names.
    pub fn tap(&self, name: &str) -> Result<&TapProfile> {
        self.taps.iter().find(|tap| tap.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.taps.iter().map(|tap| tap.name.as_str()).collect();
            Error::invalid(format!("the profile has no tap '{name}': it has {}", names.join(", ")))
        })
    }

    pub(crate) fn tap_by_hash(&self, hash: &TapHash) -> Option<&TapProfile> {
        self.taps.iter().find(|tap| tap.hash == *hash)
    }

    /// The profile as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = PROFILE_MAGIC.to_vec();
        let any = |has: fn(&TapProfile) -> bool| self.taps.iter().any(has);
        let versions = [
            (any(|tap| tap.coding.diffusion > 0.0), VERSION_5),
            (any(TapProfile::has_spread_model), VERSION_4),
            (any(TapProfile::has_mixing_model), VERSION_3),
            (any(|tap| tap.activity.is_some()), VERSION_2),
        ];
        let version = versions.into_iter().find(|(needed, _)| *needed).map_or(VERSION, |(_, version)| version);
        out.push(version);
        put_string(&mut out, &self.network);
        put_varint(&mut out, self.taps.len() as u64);
        for tap in &self.taps {
            let body = tap.body();
            if version >= VERSION_4 {
                let form = if tap.has_spread_model() { PARTS_FORM } else { OLD_FORM };
                // It is no part of the body, nor of its hash: decoders do without it.
                match tap.coding.diffusion {
                    0.0 => out.push(form),
                    diffusion => {
                        out.push(form + WITH_DIFFUSION);
                        put_f32(&mut out, diffusion);
                    }
                }
            }
            put_varint(&mut out, body.len() as u64);
            out.extend_from_slice(&body);
        }
        let checksum = crc32fast::hash(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Reads a profile. Errors: `Truncated`, `UnsupportedVersion`, `Corrupt`, `LimitExceeded`.
    pub fn from_bytes(bytes: &[u8], limits: &Limits) -> Result<Self> {
        if bytes.len() < 5 {
            return Err(Error::truncated("profile"));
        }
        if bytes[..4] != PROFILE_MAGIC {
            return Err(Error::corrupt("this is no Subband profile: the first four bytes are wrong"));
        }
        let version = bytes[4];
        if !(VERSION..=VERSION_5).contains(&version) {
            return Err(Error::new(
                ErrorKind::UnsupportedVersion,
                format!("the profile has format version {version}: this library reads up to {VERSION_5}"),
            ));
        }
        let (covered, checksum) = bytes.split_at(bytes.len() - 4);
        let mut reader = ByteReader::new(covered.get(5..).unwrap_or(&[]), "profile");
        let network = reader.string()?.to_owned();
        let count = reader.varint()?;
        let mut bodies = Vec::new();
        for _ in 0..count {
            let (form, diffused) = match version {
                VERSION_4 | VERSION_5 => match reader.u8()? {
                    form if version == VERSION_5 && form >= WITH_DIFFUSION => (form - WITH_DIFFUSION, true),
                    form => (form, false),
                },
                _ => (OLD_FORM, false),
            };
            let form = match form {
                OLD_FORM => Form::of_version(version.min(VERSION_3)),
                PARTS_FORM => Form::PARTS,
                form => return Err(Error::corrupt(format!("a tap of the unknown form {form}"))),
            };
            let diffusion = if diffused { Some(reader.f32()?) } else { None };
            let length = reader.varint()?;
            bodies.push((form, diffusion, reader.take(length)?));
        }
        reader.finish()?;
        if crc32fast::hash(covered).to_le_bytes() != *checksum {
            return Err(Error::corrupt("the checksum of the profile does not match"));
        }
        let taps = bodies.into_iter().map(|(form, diffusion, body)| {
            let mut tap = TapProfile::read_from(body, form, limits)?;
            if let Some(diffusion) = diffusion {
                if diffusion == 0.0 {
                    return Err(Error::corrupt(format!("tap '{}' is not written the one way there is", tap.name)));
                }
                tap.coding.diffusion = diffusion;
                tap.coding.validate(tap.shape[0]).map_err(|error| Error::corrupt(error.to_string()))?;
            }
            Ok(tap)
        });
        let taps = taps.collect::<Result<Vec<_>>>()?;
        if version == VERSION_5 && taps.iter().all(|tap| tap.coding.diffusion == 0.0) {
            return Err(Error::corrupt("the profile is of version 5 and has nothing of it"));
        }
        Profile::new(network, taps).map_err(|error| Error::corrupt(error.to_string()))
    }

    /// The hash of the profile's bytes.
    pub fn hash(&self) -> ProfileHash {
        ProfileHash(Sha256::digest(self.to_bytes()).into())
    }
}
