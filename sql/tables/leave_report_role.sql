-- Back to the daemon's role, which alone may call logic.run_report.
select set_config('role', 'none', true)
