//! Rate control: steps that meet a target.

mod control;

pub(crate) use control::search_step;
