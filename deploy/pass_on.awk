# What an env file has beside the settings of a compose file, which is read first: `kind` is `connections` for
# AIRFLOW_CONN_…, or `airflow` for all the others. Lines stay as they are written.
function closes(text) { gsub(/\\./, "", text); return index(text, quote) > 0 }

FNR == NR {
  while (match($0, /\$\{[A-Za-z0-9_]+/)) {
    known[substr($0, RSTART + 2, RLENGTH - 2)]
    $0 = substr($0, RSTART + RLENGTH)
  }
  next
}

# A value in quotes may have several lines.
quote { if (wanted) print; if (closes($0)) quote = ""; next }

match($0, /^[ \t]*(export[ \t]+)?[A-Za-z_][A-Za-z0-9_]*[ \t]*=/) {
  name = substr($0, RSTART, RLENGTH)
  gsub(/export[ \t]|[ \t=]/, "", name)
  wanted = !(name in known) && name !~ /^COMPOSE_/ && (name ~ /^AIRFLOW_CONN_/) == (kind == "connections")
  if (wanted) print
  value = substr($0, RSTART + RLENGTH)
  sub(/^[ \t]+/, "", value)
  quote = substr(value, 1, 1)
  if (quote != "\"" && quote != "'" || closes(substr(value, 2))) quote = ""
}
