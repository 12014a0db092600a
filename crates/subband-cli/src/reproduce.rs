//! What `subband reproduce` runs: the arms of the experiment, one after another, each in a run folder of its own, and the
//! tables and plots made of their results.

mod arms;
mod results;
mod tables;

pub use arms::{Arm, Group, Plan};
pub use results::{Place, finished_arm, measure, run_arm, run_baseline};
pub use tables::write;
