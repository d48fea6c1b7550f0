-- Makes room for another default domain: there can be only one. $1 is the domain that will be it.
update directory.domain set is_default = false where is_default and name <> $1
