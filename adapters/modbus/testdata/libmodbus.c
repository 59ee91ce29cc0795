/* A Modbus meter on libmodbus. Usage: libmodbus tcp PORT | rtu TTY
 * Unit 1; holding register a holds 7a+1, input register a 65535-a; every third
 * coil is on, and every fifth input; 300 of each. */
#include <modbus.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
	if (argc != 3) return 2;
	int tcp = strcmp(argv[1], "tcp") == 0, listener = -1;
	modbus_t *m = tcp ? modbus_new_tcp("127.0.0.1", atoi(argv[2])) : modbus_new_rtu(argv[2], 9600, 'N', 8, 1);
	modbus_mapping_t *map = modbus_mapping_new(300, 300, 300, 300);
	if (!m || !map) return 1;
	for (int a = 0; a < 300; a++) {
		map->tab_registers[a] = 7 * a + 1;
		map->tab_input_registers[a] = 65535 - a;
		map->tab_bits[a] = a % 3 == 0;
		map->tab_input_bits[a] = a % 5 == 0;
	}
	modbus_set_slave(m, 1);
	if (tcp) {
		if ((listener = modbus_tcp_listen(m, 1)) < 0) return 1;
	} else if (modbus_connect(m) < 0) {
		return 1;
	}
	for (;;) {
		if (tcp && modbus_tcp_accept(m, &listener) < 0) return 1;
		for (;;) {
			uint8_t query[MODBUS_MAX_ADU_LENGTH];
			int n = modbus_receive(m, query);
			if (n > 0) modbus_reply(m, query, n, map);
			if (n < 0 && tcp) break;
		}
		modbus_close(m);
	}
}
