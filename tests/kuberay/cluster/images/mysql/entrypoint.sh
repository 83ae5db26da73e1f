#!/bin/bash
# Sets up an empty disk, and starts the server with the arguments. The real one makes database and
# accounts once; this one at each start, which comes to the same.
set -eu
umask 077
# As the real one: root makes room for user mysql, and becomes it.
if ((UID == 0)); then
  chown 999:999 /var/lib/mysql
  exec setpriv --reuid 999 --regid 999 --clear-groups "$0" "$@"
fi
[[ -z ${MYSQL_ROOT_PASSWORD_FILE:-} ]] || MYSQL_ROOT_PASSWORD=$(< "$MYSQL_ROOT_PASSWORD_FILE")
[[ -z ${MYSQL_PASSWORD_FILE:-} ]] || MYSQL_PASSWORD=$(< "$MYSQL_PASSWORD_FILE")
server=(/opt/mysql/bin/mysqld --defaults-file=/etc/mysql/my.cnf "$@")
[[ -e /var/lib/mysql/mysql.ibd ]] || "${server[@]}" --initialize-insecure
cat > /tmp/init.sql <<SQL
ALTER USER root@localhost IDENTIFIED BY '$MYSQL_ROOT_PASSWORD';
CREATE USER IF NOT EXISTS root@'%' IDENTIFIED BY '$MYSQL_ROOT_PASSWORD';
ALTER USER root@'%' IDENTIFIED BY '$MYSQL_ROOT_PASSWORD';
GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;
SQL
[[ -z ${MYSQL_DATABASE:-} ]] || cat >> /tmp/init.sql <<SQL
CREATE DATABASE IF NOT EXISTS $MYSQL_DATABASE;
CREATE USER IF NOT EXISTS $MYSQL_USER@'%' IDENTIFIED BY '$MYSQL_PASSWORD';
GRANT ALL ON $MYSQL_DATABASE.* TO $MYSQL_USER@'%';
SQL
exec "${server[@]}" --init-file=/tmp/init.sql
