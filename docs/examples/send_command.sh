#!/bin/sh
# Sends a command to a station with mosquitto_pub, and prints the reply.
#
#     apt-get install mosquitto-clients
#     ./send_command.sh HOST PORT SITE/LINE/STATION COMMAND [FIELDS]
#     ./send_command.sh localhost 1883 plant1/line1/station1 pause
#     ./send_command.sh localhost 1883 plant1/line1/station1 resend '"from_sequence": 4711'
#
# The station carries out the commands that commands.allow names in its configuration. If edge-inspect is installed,
# `edge-inspect command` does the same. Exit status 0: carried out, 1: refused, 2: wrong arguments, 3: no reply.
set -eu
[ $# -ge 4 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
host=$1 port=$2 topic=edge-inspect/v1/$3 command=$4 fields=${5:+, $5}

# A UUIDv7 with the present time. An id can be used once, and is refused if it is older than commands.max_age_s.
id=$(printf '%012x%s' "$(date +%s%3N)" "$(od -An -N10 -tx1 /dev/urandom | tr -d ' \n')" |
    sed -E 's/(.{8})(.{4})(.{3})(.{3})(.{12}).*/\1-\2-7\3-8\4-\5/')

# Subscribe first, so that the broker keeps the reply for this session.
mosquitto_sub -h "$host" -p "$port" -i "ask-$id" -c -q 1 -E -t "$topic/reply"
mosquitto_pub -h "$host" -p "$port" -q 1 -t "$topic/command" -m "{\"command\": \"$command\", \"id\": \"$id\"$fields}"
while reply=$(mosquitto_sub -h "$host" -p "$port" -i "ask-$id" -c -q 1 -C 1 -W 10 -t "$topic/reply"); do
    case $reply in *"$id"*) break ;; esac # skip replies to other commands
done
mosquitto_sub -h "$host" -p "$port" -i "ask-$id" -E -t "$topic/reply" # end the session
printf '%s\n' "${reply:-no reply within 10 s: is the station online?}"
case $reply in *'"done":true'* | *'"done": true'*) exit 0 ;; '') exit 3 ;; *) exit 1 ;; esac
