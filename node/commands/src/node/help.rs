//! The shape of HELP replies.

use crate::Call;

/// Replies what `container` understands: `lines` go two by two, a form and what it does.
pub(crate) fn reply_help(call: &mut Call<'_>, container: &str, lines: &[&str]) {
    let mut reply = call.reply();
    reply.array(lines.len() + 3);
    reply.simple(&format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for (index, line) in lines.iter().enumerate() {
        reply.simple(&format!("{}{line}", if index % 2 == 1 { "    " } else { "" }));
    }
    reply.simple("HELP");
    reply.simple("    Prints this help.");
}
