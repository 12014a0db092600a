//! Training on several devices, by burn's own data-parallel step: a worker thread for each device, to which the network is
//! forked at every step. Gradients come back and are averaged here, so that the optimizers stay where they are.
//!
//! Every replica normalises by the statistics of its own part of the batch, as PyTorch's `DistributedDataParallel` does
//! without `SyncBatchNorm`; the running statistics become the mean of the replicas'.

use std::sync::Arc;

use burn::data::dataloader::{DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::module::Module;
use burn::tensor::{Device, ExecutionError};
use burn::train::train::{MultiDeviceStepError, MultiDevicesTrainStep};
use burn::train::{InferenceStep, ItemLazy, TrainOutput, TrainStep};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::pass::{Pass, pass};
use crate::data::Batch;
use crate::error::{Error, ErrorKind, Result};
use crate::network::{Network, NetworkKind, Shortcut};
use crate::resnet::{NormStatistics, ResNet};
use crate::retrain::{CodecInLoop, Position};

/// The workers of a run, one a device.
pub(super) struct Replicas {
    workers: MultiDevicesTrainStep<Replica>,
    devices: Vec<Device>,
    /// A worker's share of the threads of whoever trains.
    pools: Vec<Arc<ThreadPool>>,
    label_smoothing: f64,
}

impl Replicas {
    /// Workers for `devices`, or none for a single one, which trains without.
    pub fn new(devices: &[Device], label_smoothing: f64) -> Result<Option<Self>> {
        if devices.len() < 2 {
            return Ok(None);
        }
        let threads = (rayon::current_num_threads() / devices.len()).max(1);
        let pool = |_| match ThreadPoolBuilder::new().num_threads(threads).build() {
            Ok(pool) => Ok(Arc::new(pool)),
            Err(cause) => Err(Error::new(ErrorKind::Device, format!("cannot start threads: {cause}"))),
        };
        Ok(Some(Self {
            workers: MultiDevicesTrainStep::new(devices),
            devices: devices.to_vec(),
            pools: devices.iter().map(pool).collect::<Result<_>>()?,
            label_smoothing,
        }))
    }

    /// [`pass`] with the batch cut among the devices; what it leaves is on the device of `network`.
    ///
    /// # Errors
    /// Those of [`pass`], and `Device` where a worker panicked.
    pub fn pass(
        &self,
        network: &mut Network,
        codec: Option<&CodecInLoop>,
        batch: &Batch,
        at: Position,
    ) -> Result<Pass> {
        let statistics = network.model.running_statistics();
        let mut model = network.model.clone();
        // Forking moves running statistics in place, and clones share them: these may be moved.
        model.set_running_statistics(statistics.clone());
        let job = Job {
            kind: network.kind(),
            shortcut: network.shortcut(),
            statistics,
            codec: codec.cloned(),
            label_smoothing: self.label_smoothing,
            at,
        };
        let shards = batch.shards(self.devices.len()).into_iter().zip(&self.devices).zip(&self.pools).enumerate();
        let mut shards: Vec<Box<dyn DataLoaderIterator<Shard>>> = shards
            .map(|(number, ((batch, device), pool))| {
                let shard = Shard { number, batch, device: device.clone(), pool: Arc::clone(pool) };
                Box::new(One(Some(shard).filter(|shard| !shard.batch.is_empty()))) as _
            })
            .collect();
        let replica = Replica { model, job: Arc::new(job) };
        let (answers, _) = self.workers.step(&mut shards, &replica).map_err(worker_error)?;

        // Workers answer in the order in which they finish; sums must not depend on that.
        let mut answers: Vec<TrainOutput<Answer>> = answers.into_iter().map(|answer| answer.output).collect();
        answers.sort_by_key(|answer| answer.item.shard);
        let (mut passes, mut statistics) = (Vec::new(), Vec::new());
        for TrainOutput { grads, item } in answers {
            let (pass, norms) = item.outcome?;
            statistics.push((pass.images, norms));
            passes.push(Pass { gradients: grads, ..pass });
        }
        let device = network.device().clone();
        let found = Pass::mean(passes, &network.model, &device.clone().without_autodiff());
        network.model.set_running_statistics(mean_statistics(&statistics, &device));
        Ok(found)
    }
}

/// What a worker gets of the network, forked to its device.
#[derive(Module, Debug)]
struct Replica {
    model: ResNet,
    #[module(skip)]
    job: Arc<Job>,
}

/// What all workers are told.
#[derive(Debug)]
struct Job {
    kind: NetworkKind,
    shortcut: Shortcut,
    /// Those that running statistics go on from, on the first device.
    statistics: Vec<NormStatistics>,
    codec: Option<CodecInLoop>,
    label_smoothing: f64,
    at: Position,
}

/// What one worker is told.
struct Shard {
    number: usize,
    batch: Batch,
    device: Device,
    pool: Arc<ThreadPool>,
}

/// What it answers, beside the gradients of the parameters.
struct Answer {
    shard: usize,
    outcome: Result<(Pass, Vec<NormStatistics>)>,
}

impl Replica {
    fn pass(&self, shard: &Shard) -> Result<(Pass, Vec<NormStatistics>)> {
        let Job { kind, shortcut, statistics, codec, label_smoothing, at } = &*self.job;
        let mut model = self.model.clone();
        // Replicas share the ones that were forked; each goes on from the same of its own.
        model.set_running_statistics(statistics.iter().map(|norm| norm.clone().moved_to(&shard.device)).collect());
        let mut network = Network::around(model, *kind, *shortcut, &shard.device);
        let at = Position { shard: shard.number, ..*at };
        let found = pass(&network, codec.as_ref(), &shard.batch, *label_smoothing, at)?;
        // By the thread that updated them.
        Ok((found, network.model.running_statistics()))
    }
}

impl TrainStep for Replica {
    type Input = Shard;
    type Output = Answer;

    fn step(&self, shard: Shard) -> TrainOutput<Answer> {
        let mut outcome = shard.pool.install(|| self.pass(&shard));
        let grads = outcome.as_mut().map(|(pass, _)| std::mem::take(&mut pass.gradients)).unwrap_or_default();
        TrainOutput { grads, item: Answer { shard: shard.number, outcome } }
    }
}

/// burn asks for it of whatever is trained; nothing infers by a replica.
impl InferenceStep for Replica {
    type Input = ();
    type Output = ();

    fn step(&self, (): ()) {}
}

impl ItemLazy for Answer {
    fn sync(self) -> Result<Self, ExecutionError> {
        Ok(self)
    }
}

/// A data loader with the one item of a step, or none.
struct One(Option<Shard>);

impl Iterator for One {
    type Item = Result<Shard, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl DataLoaderIterator<Shard> for One {
    fn progress(&self) -> Progress {
        Progress::new(0, 1, None)
    }
}

/// The mean of the replicas' running statistics, each weighed by its images, on `device`.
fn mean_statistics(parts: &[(usize, Vec<NormStatistics>)], device: &Device) -> Vec<NormStatistics> {
    let images: usize = parts.iter().map(|(images, _)| images).sum();
    let norms = parts.first().map_or(0, |(_, norms)| norms.len());
    let mean = |norm: usize| {
        let weighed = parts.iter().map(|(count, norms)| {
            let share = *count as f64 / images as f64;
            let NormStatistics { mean, variance } = norms[norm].clone().moved_to(device);
            NormStatistics { mean: mean.mul_scalar(share), variance: variance.mul_scalar(share) }
        });
        weighed.reduce(|a, b| NormStatistics { mean: a.mean + b.mean, variance: a.variance + b.variance })
    };
    (0..norms).filter_map(mean).collect()
}

fn worker_error(cause: MultiDeviceStepError) -> Error {
    let text = match cause {
        MultiDeviceStepError::Workers(mut failures) => {
            failures.sort_by_key(|failure| failure.device_id);
            let texts =
                failures.iter().map(|failure| format!("device {} failed: {}", failure.device_id, failure.message));
            texts.collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    };
    Error::new(ErrorKind::Device, format!("{text}; the last checkpoint is kept"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dataset, made_up};
    use crate::retrain::{RetrainConfig, SelectionMethod};
    use crate::tensor_map::TensorMap;
    use crate::train::{Sgd, TrainConfig};

    const AT: Position = Position { step: 3, epoch: 1.5, factor: 1.0, shard: 0 };

    fn images(count: usize) -> Dataset {
        made_up(count, 0)
    }

    fn devices(count: usize) -> Vec<Device> {
        vec![Device::flex().autodiff(); count]
    }

    /// A network in training, whose parameters have the same ids in every clone of it.
    fn network() -> Network {
        Network::init(NetworkKind::ResNet20, Shortcut::A, 1, &devices(1)[0])
    }

    /// That network with running statistics of its own.
    fn own(network: &Network) -> Network {
        let mut network = network.clone();
        let statistics = network.model.running_statistics();
        network.model.set_running_statistics(statistics);
        network
    }

    fn gradients(found: &Pass, network: &Network) -> Vec<f32> {
        struct Values<'a>(&'a Pass, Vec<f32>);
        impl burn::module::ModuleVisitor for Values<'_> {
            fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<burn::tensor::Tensor<D>>) {
                if let Some(gradient) = self.0.gradients.get::<D>(param.id) {
                    self.1.extend(gradient.into_data().iter::<f32>());
                }
            }
        }
        let mut values = Values(found, Vec::new());
        network.model.visit(&mut values);
        assert!(values.1.len() > 200_000);
        values.1
    }

    /// The state after some steps as a map, with the codec's.
    fn after_steps(
        network: &Network,
        codec: &CodecInLoop,
        mut pass_of: impl FnMut(&mut Network, &CodecInLoop, Position) -> Pass,
    ) -> TensorMap {
        let (mut network, mut codec) = (own(network), codec.clone());
        let mut optimizer = Sgd::new(&TrainConfig { gradient_clip: Some(1.0), ..TrainConfig::default() });
        for step in 0..3 {
            let at = Position { step, ..AT };
            let found = pass_of(&mut network, &codec, at);
            network.model = optimizer.step(network.model.clone(), found.gradients, 0.05);
            codec.step(&found.codec, at);
        }
        let mut map = network.to_tensors();
        codec.save(&mut map);
        map
    }

    #[test]
    fn replicas_that_see_the_same_are_one() {
        let data = images(6);
        let network = network();
        let mut config = RetrainConfig::default();
        config.selection.method = SelectionMethod::Gates;
        let mut codec = CodecInLoop::new(&config, &network, &data, &mut ()).unwrap();
        codec.teach_on(&devices(2));
        let three = data.batch(&[0, 1, 2]).unwrap();
        let twice = data.batch(&[0, 1, 2, 0, 1, 2]).unwrap();
        let replicas = Replicas::new(&devices(2), 0.1).unwrap().unwrap();
        let alone =
            after_steps(&network, &codec, |network, codec, at| pass(network, Some(codec), &three, 0.1, at).unwrap());
        let both = after_steps(&network, &codec, |network, codec, at| {
            replicas.pass(network, Some(codec), &twice, at).unwrap()
        });
        assert_eq!(alone.iter().count(), both.iter().count());
        let start = network.to_tensors();
        for ((name, a), (_, b)) in alone.iter().zip(both.iter()) {
            assert!(a == b, "{name} differs");
            assert!(start.get(name) != Some(a), "{name} has not moved");
        }
    }

    #[test]
    fn unequal_parts_weigh_as_many_images_as_they_have() {
        let data = images(5);
        let mut shared = network();
        let (replicas, none) = (Replicas::new(&devices(2), 0.0).unwrap().unwrap(), None);
        let batch = data.batch(&[0, 1, 2, 3, 4]).unwrap();
        let found = replicas.pass(&mut shared, none, &batch, AT).unwrap();
        // The first two images, and the other three.
        let mut parts = [own(&network()), own(&network())];
        let passes = [&[0, 1][..], &[2, 3, 4]];
        let passes: Vec<Pass> = parts
            .iter()
            .zip(passes)
            .map(|(part, images)| pass(part, none, &data.batch(images).unwrap(), 0.0, AT).unwrap())
            .collect();
        assert_eq!((found.images, found.right), (5, passes[0].right + passes[1].right));
        assert!((found.loss - (0.4 * passes[0].loss + 0.6 * passes[1].loss)).abs() < 1e-6);
        let [a, b] = [0, 1].map(|part| gradients(&passes[part], &parts[part]));
        for ((found, a), b) in gradients(&found, &shared).into_iter().zip(a).zip(b) {
            assert!((found - (0.4 * a + 0.6 * b)).abs() <= 1e-6 * found.abs().max(1.0), "{found} {a} {b}");
        }
        let variances = |network: &mut Network| -> Vec<f32> {
            let statistics = network.model.running_statistics();
            statistics
                .into_iter()
                .flat_map(|norm| norm.variance.into_data().iter::<f32>().collect::<Vec<_>>())
                .collect()
        };
        let [a, b] = parts.each_mut().map(variances);
        for ((found, a), b) in variances(&mut shared).into_iter().zip(a).zip(b) {
            assert!((found - (0.4 * a + 0.6 * b)).abs() <= 1e-6 * found, "{found} {a} {b}");
        }
    }

    #[test]
    fn a_device_without_images_has_no_say() {
        let data = images(1);
        let batch = data.batch(&[0]).unwrap();
        let network = network();
        let [mut shared, alone] = [own(&network), own(&network)];
        let found = Replicas::new(&devices(3), 0.0).unwrap().unwrap().pass(&mut shared, None, &batch, AT).unwrap();
        let wanted = pass(&alone, None, &batch, 0.0, AT).unwrap();
        assert_eq!(gradients(&found, &shared), gradients(&wanted, &alone));
        assert_eq!((found.images, found.loss), (1, wanted.loss));
        assert!(shared.to_tensors() == alone.to_tensors());
    }

    #[test]
    fn a_worker_that_fails_is_an_error() {
        let mut batch = images(2).batch(&[0, 1]).unwrap();
        // No network here takes two channels.
        batch.shape = [2, 32, 48];
        let replicas = Replicas::new(&devices(2), 0.0).unwrap().unwrap();
        let error = replicas.pass(&mut network(), None, &batch, AT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Device);
        let text = error.to_string();
        assert!(
            text.contains("device 0 failed: ")
                && text.contains("; device 1 failed: ")
                && text.contains("checkpoint is kept"),
            "{text}"
        );
        // The workers live on.
        let batch = images(2).batch(&[0, 1]).unwrap();
        replicas.pass(&mut network(), None, &batch, AT).unwrap();
    }
}
