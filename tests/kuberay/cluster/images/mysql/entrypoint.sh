#!/bin/bash
# Sets up an empty disk, and starts the server. The real one sets root's password once; this one at
# each start, which comes to the same.
set -eu
umask 077
server=(/opt/mysql/bin/mysqld --defaults-file=/etc/mysql/my.cnf)
[[ -e /var/lib/mysql/mysql.ibd ]] || "${server[@]}" --initialize-insecure
cat > /tmp/init.sql <<SQL
ALTER USER root@localhost IDENTIFIED BY '$MYSQL_ROOT_PASSWORD';
CREATE USER IF NOT EXISTS root@'%' IDENTIFIED BY '$MYSQL_ROOT_PASSWORD';
ALTER USER root@'%' IDENTIFIED BY '$MYSQL_ROOT_PASSWORD';
GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;
SQL
exec "${server[@]}" --init-file=/tmp/init.sql
