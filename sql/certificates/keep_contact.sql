-- Notes that the authority of directory $1 knows contact $2.
update control.acme_account set contact = $2 where directory = $1
