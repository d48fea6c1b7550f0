//! The `mailwright` program.

fn main() -> std::process::ExitCode {
    mailwright::cli::main()
}
