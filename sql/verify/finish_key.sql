-- Fills in key $1: private $2, public $3; it is ready then.
select logic.finish_dkim_key($1, $2, $3)
