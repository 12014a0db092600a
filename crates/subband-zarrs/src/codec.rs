//! The codec: a chunk to a stream and back.

use std::any::Any;
use std::num::NonZeroU64;
use std::sync::Arc;

use subband::{Config, DType, DecompressOptions, ElementsMut, Limits};
use zarrs_codec::{
    ArrayBytes, ArrayBytesRaw, ArrayCodecTraits, ArrayPartialDecoderTraits, ArrayToBytesCodecTraits,
    BytesPartialDecoderTraits, BytesRepresentation, Codec, CodecError, CodecMetadataOptions, CodecOptions,
    CodecPluginV3, CodecTraits, CodecTraitsV3, PartialDecoderCapability, PartialEncoderCapability,
    RecommendedConcurrency,
};
use zarrs_data_type::{DataType, FillValue};
use zarrs_metadata::Configuration;
use zarrs_metadata::v3::MetadataV3;
use zarrs_plugin::{PluginCreateError, ZarrVersion};

use crate::configuration::SubbandConfiguration;
use crate::elements;
use crate::partial::PartialDecoder;

/// The codec `subband`, which turns a chunk of an array into a stream.
#[derive(Debug, Clone)]
pub struct SubbandCodec {
    configuration: SubbandConfiguration,
    config: Config,
}

zarrs_plugin::impl_extension_aliases!(SubbandCodec, v3: "subband");

inventory::submit! {
    CodecPluginV3::new::<SubbandCodec>()
}

impl CodecTraitsV3 for SubbandCodec {
    fn create(metadata: &MetadataV3) -> Result<Codec, PluginCreateError> {
        let codec = SubbandCodec::new(metadata.to_typed_configuration()?)?;
        Ok(Codec::ArrayToBytes(Arc::new(codec)))
    }
}

impl SubbandCodec {
    /// A codec with these settings.
    ///
    /// # Errors
    /// For settings out of range, and for none or several targets; the message names them.
    pub fn new(configuration: SubbandConfiguration) -> Result<Self, PluginCreateError> {
        let config =
            configuration.config().map_err(|error| format!("the configuration of codec 'subband': {error}"))?;
        Ok(SubbandCodec { configuration, config })
    }

    /// Its settings, as the metadata has them.
    pub fn settings(&self) -> &SubbandConfiguration {
        &self.configuration
    }
}

/// What a chunk of an array must be.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub dtype: DType,
    pub shape: Vec<usize>,
}

impl Chunk {
    pub fn new(shape: &[NonZeroU64], data_type: &DataType) -> Result<Self, CodecError> {
        let dtype = elements::dtype_of(data_type)?;
        if shape.len() < 2 {
            let message =
                format!("a chunk has shape {shape:?}: two axes or more are needed, the last two are the plane");
            return Err(CodecError::Other(message));
        }
        let size = |&size: &NonZeroU64| usize::try_from(size.get());
        let shape: Result<Vec<_>, _> = shape.iter().map(size).collect();
        let shape = shape.map_err(|_| CodecError::Other("a chunk is larger than the address space".to_owned()))?;
        Ok(Chunk { dtype, shape })
    }

    pub fn values(&self) -> usize {
        self.shape.iter().product()
    }

    /// A stream that claims to be something else is not decoded at all.
    pub fn check(&self, stream: &[u8]) -> Result<(), CodecError> {
        let found = subband::shape_of(stream, &self.options().limits).map_err(codec_error)?;
        if found.dtype != self.dtype || found.shape != self.shape {
            return Err(CodecError::Other(format!(
                "a chunk holds {} of shape {:?}: the metadata says {} of shape {:?}",
                found.dtype.name(),
                found.shape,
                self.dtype.name(),
                self.shape
            )));
        }
        Ok(())
    }

    pub fn options(&self) -> DecompressOptions<'static> {
        // What the metadata lets a chunk be is allowed, however much.
        let default = Limits::default();
        DecompressOptions::default().with_limits(default.with_max_values(default.max_values.max(self.values())))
    }

    pub fn decode(&self, stream: &[u8]) -> Result<ArrayBytes<'static>, CodecError> {
        self.check(stream)?;
        let decode = |out: &mut ElementsMut| subband::decompress_into(stream, out, &self.options());
        let bytes = elements::decompress(self.values(), self.dtype, decode).map_err(codec_error)?;
        Ok(ArrayBytes::new_flen(bytes))
    }
}

pub(crate) fn codec_error(error: subband::Error) -> CodecError {
    CodecError::Other(error.to_string())
}

impl CodecTraits for SubbandCodec {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn configuration(&self, _version: ZarrVersion, _options: &CodecMetadataOptions) -> Option<Configuration> {
        let value = serde_json::to_value(&self.configuration).expect("settings are plain data");
        let serde_json::Value::Object(map) = value else { unreachable!("settings are an object") };
        Some(map.into())
    }

    fn partial_decoder_capability(&self) -> PartialDecoderCapability {
        PartialDecoderCapability { partial_read: false, partial_decode: true }
    }

    fn partial_encoder_capability(&self) -> PartialEncoderCapability {
        PartialEncoderCapability { partial_encode: false }
    }
}

impl ArrayCodecTraits for SubbandCodec {
    fn recommended_concurrency(
        &self,
        _shape: &[NonZeroU64],
        _data_type: &DataType,
    ) -> Result<RecommendedConcurrency, CodecError> {
        // A stream's own parts are shared among the threads of the same rayon pool, so that any number will do.
        Ok(RecommendedConcurrency::new_minimum(1))
    }
}

impl ArrayToBytesCodecTraits for SubbandCodec {
    fn into_dyn(self: Arc<Self>) -> Arc<dyn ArrayToBytesCodecTraits> {
        self
    }

    fn encoded_representation(
        &self,
        shape: &[NonZeroU64],
        data_type: &DataType,
        _fill_value: &FillValue,
    ) -> Result<BytesRepresentation, CodecError> {
        Chunk::new(shape, data_type)?;
        Ok(BytesRepresentation::UnboundedSize)
    }

    fn encode<'a>(
        &self,
        bytes: ArrayBytes<'a>,
        shape: &[NonZeroU64],
        data_type: &DataType,
        _fill_value: &FillValue,
        _options: &CodecOptions,
    ) -> Result<ArrayBytesRaw<'a>, CodecError> {
        let chunk = Chunk::new(shape, data_type)?;
        let bytes = bytes.into_fixed()?;
        let stream = elements::compress(&bytes, chunk.dtype, &chunk.shape, &self.config).map_err(codec_error)?;
        Ok(stream.into())
    }

    fn decode<'a>(
        &self,
        bytes: ArrayBytesRaw<'a>,
        shape: &[NonZeroU64],
        data_type: &DataType,
        _fill_value: &FillValue,
        _options: &CodecOptions,
    ) -> Result<ArrayBytes<'a>, CodecError> {
        Chunk::new(shape, data_type)?.decode(&bytes)
    }

    fn partial_decoder(
        self: Arc<Self>,
        input_handle: Arc<dyn BytesPartialDecoderTraits>,
        shape: &[NonZeroU64],
        data_type: &DataType,
        fill_value: &FillValue,
        _options: &CodecOptions,
    ) -> Result<Arc<dyn ArrayPartialDecoderTraits>, CodecError> {
        let chunk = Chunk::new(shape, data_type)?;
        Ok(Arc::new(PartialDecoder::new(input_handle, chunk, data_type.clone(), fill_value.clone())))
    }
}
