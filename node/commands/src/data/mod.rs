//! Commands on data: [`strings`], [`generic`], [`hashes`]; what they share stands here.
