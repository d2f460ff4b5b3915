//! Writes the manual pages and shell completions of the package tallybox-fleet into a directory.

mod pages;

/// What the first page tells beside its commands; the rest is in docs/fleet.md.
const MORE: &str = r".SH ENVIRONMENT
.TP
\fBTALLYBOX_FLEET_BROKER\fR, \fBTALLYBOX_FLEET_CA_FILE\fR, \fBTALLYBOX_FLEET_CERT\fR, \fBTALLYBOX_FLEET_CERT_KEY\fR, \fBTALLYBOX_FLEET_USER\fR, \fBTALLYBOX_FLEET_KEY\fR
The options of these names, where they are not given.
.TP
\fBTALLYBOX_FLEET_PASSWORD\fR
The password of \fB--user\fR.
";

fn main() -> std::io::Result<()> {
    pages::write("tallybox-fleet", tallybox_fleet::command, MORE)
}
