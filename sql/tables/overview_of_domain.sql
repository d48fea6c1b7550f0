-- What the overview shows to the administrator of a domain.
select logic.overview_of_domain()
