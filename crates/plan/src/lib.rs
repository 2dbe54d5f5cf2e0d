#![no_std]
//! Facts and intent to a plan.
extern crate alloc;
