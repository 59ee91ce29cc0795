# make            build the five programs into bin/
# make demo       the whole story on this machine; ARGS='--for 60s --headless'
# make test       every test
# make race       the tests of what runs concurrently, under the race detector, against one of the OPC UA servers
# make portable   the tests of codec, accounts, buffer and GPIO on 386, and on arm by qemu-arm-static
# make torture    the long versions of tests by faults: kills, power lost, disks failing, thin lines (needs strace, Kafka, make guest, and root)
# make vm         the long tests of flashed machines: 20 power cuts, and updates kept and left on each kind of PC and on ARM64 (needs make image-parts)
# make peers      what tests run against: pymodbus, asyncua, aiosmtpd, c104, lib60870-C (needs a C compiler), cap-tools, confluent-kafka, kubernetes-validate, schemathesis, DuckDB, pyiceberg and moto (need Python), Apache Kafka, Eclipse Milo and j60870 (need Maven and a JDK), node-opcua, sparkplug-client, oidc-provider and TypeScript (need npm), the loaders of Compose and Kustomize
# make guest      the kernels of the virtual machines that tests boot (needs Debian's apt-get)
# make kafka      a real Kafka cluster of three brokers to try things against; ARGS='--help' for more
# make bench      benchmarks of the sample's path
# make generate   the JSON Schema, the TypeScript client and the console's bundle, after a change to their sources
# make image-parts what images are made of beside the gateway: kernels and systemd-boot (needs Debian's apt-get and kmod)
# make packages   .deb and .rpm of the gateway for amd64, arm64 and armhf, into bin/packages
# make sizes      the stripped binaries' sizes on amd64, arm64 and arm v6

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
GOBUILD := go build -ldflags "$(LDFLAGS)"
# The same flags for programs, tests and go vet: what one has compiled serves the others.
export CGO_ENABLED ?= 0

# The tests' independent peers, where `make peers` has installed them.
ifneq ($(wildcard .venv/bin/python),)
export BUSBAR_PYTHON ?= $(CURDIR)/.venv/bin/python
endif

.PHONY: packages peers-packages peers-lib60870 image-parts image-parts-debian build demo test race torture vm portable peers peers-python peers-java peers-node peers-deploy guest kafka bench generate sizes clean
build:
	$(GOBUILD) -o bin/ ./cmd/...

demo: build
	@bin/busbar demo $(ARGS)

# What takes longest, and waits most, begins first; tests wait more than they compute.
test: build
	go test -timeout 30m -p 3 ./test/... $$(go list ./... | grep -v -E '/test(/|$$)')

# What takes long, and shows neither the race detector nor another architecture what the others don't.
ALONE := ReplicasComeAndGo|FromABackup|SetsAsideWhatIsNoEvent|DirectoryNeverExceedsItsSize|EventsHaveTheirShare|SilentGateways$$|AwayForGood|ATrendIsThat|PackingChangesNothing|DeletedStaysSummedUp|AsManyPartsAsItNeeds|AStormWithoutABroker|SigningInByAProvider$$|AProviderWeDidNotWrite
race:
	CGO_ENABLED=1 go test -race -short -timeout 30m -p 3 -skip '$(ALONE)' $$(go list ./... | grep -v -e /cmd/ -e /configfile -e /firmware-config -e /grid -e /profile -e /rules/r -e /sim/evidence -e /sim/load -e /sim/network -e /sim/powerflow -e /sim/sc -e /sim/world -e /cloud/replay -e /cloud/backup -e '/test$$' -e '/test/kafka' -e /test/deploy -e /test/image -e /test/packages -e /test/powerloss -e /cloud/client/ -e '/cloud/web')

torture: build
	BUSBAR_TORTURE=1 go test -count 1 -timeout 4h -run Torture -v ./...

vm: build
	BUSBAR_VM=1 go test -count 1 -timeout 2h -run VM -v ./test/image

# What runs on the smallest gateways. The tests left out start processes of their
# own, in name spaces or to be killed, which the emulator can't.
PROCESSES := FullDisk|ReadOnlyDisk|DiskRecoversWithoutAnOperator|KilledProcess|NothingCanBeRemoved|BookkeepingThatCantBeRead
PORTABLE := ./telemetry/... ./gateway/buffer ./gateway/account ./gateway/clock ./gateway/ntp ./adapters/gpio
portable:
	GOARCH=386 go test -short -skip '$(ALONE)' $(PORTABLE)
	GOARCH=arm GOARM=6 go test -short -exec qemu-arm-static \
	  -skip '$(PROCESSES)|$(ALONE)' $(PORTABLE)

peers: peers-python peers-lib60870 peers-java peers-node peers-deploy peers-packages

peers-python:
	python3 -m venv .venv
	.venv/bin/pip install --quiet --requirement test/peers/requirements.txt

# One after the other: two Mavens at once get in each other's way.
JARS = mvn --quiet --batch-mode --file $(1) dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(CURDIR)/.peers/$(2)
peers-java:
	$(call JARS,test/kafka/pom.xml,kafka)
	$(call JARS,test/peers/opcua/milo/pom.xml,milo)
	javac -Xlint:none -d .peers/milo -cp '.peers/milo/*' test/peers/opcua/milo/Plant.java
	$(call JARS,test/peers/iec104/j60870/pom.xml,j60870)
	javac -Xlint:none -d .peers/j60870 -cp '.peers/j60870/*' test/peers/iec104/j60870/Station.java test/peers/iec104/j60870/Master.java

# lib60870-C's 101: c104 has it in its sources, and not in what it installs.
LIB60870 := .peers/lib60870/lib60870-C
peers-lib60870: peers-python
	mkdir -p .peers/lib60870
	.venv/bin/pip download --quiet --no-deps --no-build-isolation --no-binary :all: --dest .peers/lib60870 $$(grep ^c104 test/peers/requirements.txt)
	tar -xzf .peers/lib60870/c104-*.tar.gz -C .peers/lib60870 --strip-components 3 --wildcards '*/depends/lib60870/lib60870-C/*'
	cd $(LIB60870) && cc -O1 -w -o ../station -Iconfig -Isrc/inc/api -Isrc/inc/internal -Isrc/common/inc -Isrc/hal/inc -Isrc/file-service \
	  $(CURDIR)/test/peers/iec101/station.c src/iec60870/*.c src/iec60870/*/c*101*.c src/iec60870/apl/*.c src/iec60870/link_layer/*.c \
	  src/common/*.c src/hal/serial/linux/*.c src/hal/thread/linux/*.c src/hal/time/unix/*.c src/hal/memory/*.c -lpthread

# The packages that a directory locks, into another one.
define PACKAGES
	mkdir -p .peers/$(2)
	cp $(1)/package.json $(1)/package-lock.json .peers/$(2)/
	cd .peers/$(2) && npm ci --silent --no-audit --no-fund --ignore-scripts
endef
peers-node:
	$(call PACKAGES,test/peers/opcua/node,node-opcua)
	$(call PACKAGES,test/peers/sparkplug,sparkplug)
	$(call PACKAGES,test/peers/oidc,oidc)
	$(call PACKAGES,cloud/client/typescript,tsc)

# The loaders of Docker Compose and Kustomize, in a module of their own.
peers-deploy:
	go build -C test/peers/deploy -o $(CURDIR)/.peers/deploy/render .

# What makes packages. Later ones need modules that aren't to be had.
peers-packages: .peers/nfpm/nfpm
.peers/nfpm/nfpm:
	GOBIN=$(CURDIR)/.peers/nfpm go install github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.4

# The kernel of another architecture, whatever this machine has from apt-get.
ARM64 := -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::Lists=lists -o Dir::State::status=/dev/null -o Dir::Cache=cache
# In the order in which they are loaded: a network card, and the line's qdisc.
MODULES := failover net_failover virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_net sch_netem
guest:
	rm -rf .peers/linux && mkdir -p .peers/linux/modules
	cd .peers/linux && \
	  apt-get -qq download $$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ {print $$2}') && \
	  dpkg-deb --fsys-tarfile linux-image-*.deb | tar -x --wildcards './boot/vmlinuz-*' $(MODULES:%='*/%.ko') && \
	  mv boot/vmlinuz-* vmlinuz && \
	  n=10; for m in $(MODULES); do mv $$(find lib -name $$m.ko) modules/$$n-$$m.ko || exit 1; n=$$((n+1)); done && \
	  rm -r linux-image-*.deb boot lib
	rm -rf .peers/linux-arm64 && mkdir -p .peers/linux-arm64/lists/partial .peers/linux-arm64/cache/archives/partial
	cd .peers/linux-arm64 && \
	  apt-get -qq $(ARM64) update && \
	  apt-get -qq $(ARM64) download $$(apt-cache $(ARM64) depends linux-image-arm64 | awk '/Depends: linux-image/ {print $$2}') && \
	  dpkg-deb --fsys-tarfile linux-image-*.deb | tar -x --wildcards './boot/vmlinuz-*' && \
	  mv boot/vmlinuz-* vmlinuz && \
	  rm -r linux-image-*.deb boot lists cache

# What images are made of beside the gateway, by target: kernels and systemd-boot. The kernels
# are modules that nothing imports, so they have a module of their own.
KERNELS := firmware-config/kernels
define PARTS
	mkdir -p .peers/image/$(1)
	cp $$(go list -C $(KERNELS) -m -f '{{.Dir}}' github.com/gokrazy/kernel.$(2))/vmlinuz .peers/image/$(1)/
	cd .peers/image && apt-get -qq $(3) download systemd-boot-efi && dpkg-deb -x systemd-boot-efi_*.deb deb
	mv .peers/image/deb/usr/lib/systemd/boot/efi/systemd-boot$(4).efi .peers/image/$(1)/boot.efi
	set -e; kernel=$$(go list -C $(KERNELS) -m -f '{{.Dir}}' github.com/gokrazy/kernel.$(2)); \
	  boot=$$(basename .peers/image/systemd-boot-efi_*.deb | cut -d_ -f2); \
	  go run ./firmware-config/internal/components $(2) .peers/image/$(1) \
	    linux $$(go list -C $(KERNELS) -m -f '{{.Version}}' github.com/gokrazy/kernel.$(2)) GPL-2.0-only "$$(cat $$kernel/_build/upstream-url.txt)" $$kernel/LICENSE.linux \
	    systemd-boot $$boot LGPL-2.1-or-later https://sources.debian.org/src/systemd .peers/image/deb/usr/share/doc/systemd-boot-efi/copyright
	rm -r .peers/image/deb .peers/image/systemd-boot-efi_*.deb
endef
IMAGES_ARM64 = -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::Lists=$(CURDIR)/.peers/image/apt/lists \
  -o Dir::State::status=/dev/null -o Dir::Cache=$(CURDIR)/.peers/image/apt
PI_PARTS := vmlinuz *.dtb overlays
PI_FIRMWARE := bootcode.bin start.elf fixup.dat start4.elf fixup4.dat LICENSE.broadcom
image-parts:
	rm -rf .peers/image && mkdir -p .peers/image/apt/lists/partial .peers/image/apt/archives/partial
	go mod download -C $(KERNELS)
	$(call PARTS,pc,amd64,,x64)
	apt-get -qq $(IMAGES_ARM64) update
	$(call PARTS,arm64,arm64,$(IMAGES_ARM64),aa64)
	rm -r .peers/image/apt
	mkdir -p .peers/image/pi
	cd $$(go list -C $(KERNELS) -m -f '{{.Dir}}' github.com/gokrazy/kernel.rpi) && cp -r --no-preserve=mode $(PI_PARTS) $(CURDIR)/.peers/image/pi/
	cd $$(go list -C $(KERNELS) -m -f '{{.Dir}}' github.com/gokrazy/firmware) && cp --no-preserve=mode $(PI_FIRMWARE) $(CURDIR)/.peers/image/pi/
	set -e; kernel=$$(go list -C $(KERNELS) -m -f '{{.Dir}}' github.com/gokrazy/kernel.rpi); \
	  go run ./firmware-config/internal/components arm64 .peers/image/pi \
	    linux $$(go list -C $(KERNELS) -m -f '{{.Version}}' github.com/gokrazy/kernel.rpi) GPL-2.0-only "$$(cat $$kernel/_build/upstream-url.txt)" $$kernel/LICENSE.linux \
	    raspberrypi-firmware $$(go list -C $(KERNELS) -m -f '{{.Version}}' github.com/gokrazy/firmware) LicenseRef-Broadcom https://github.com/raspberrypi/firmware .peers/image/pi/LICENSE.broadcom
	$(MAKE) --no-print-directory image-parts-debian

# Debian's kernel has its drivers as modules: those for what industrial PCs have, and what they
# need. mei_wdt isn't among them, a watchdog that tells a management engine and restarts nothing.
PC_MODULES := ext4 vfat efivarfs nls_cp437 nls_ascii nls_utf8 \
  mmc_block sdhci-pci sdhci-acpi nvme vmd ahci sd_mod usb-storage uas virtio_pci virtio_blk virtio_scsi \
  xhci-pci ehci-pci ohci-pci uhci-hcd \
  lpc_ich i2c-i801 iTCO_wdt wdat_wdt sp5100_tco i6300esb \
  pl2303 cdc-acm ftdi_sio cp210x ch341 xr_serial f81232 f81534 mxuport ti_usb_3410_5052 8250_exar 8250_lpss intel-lpss-pci intel-lpss-acpi \
  e1000 e1000e igb igc ixgbe r8169 realtek tg3 virtio_net
image-parts-debian:
	rm -rf .peers/image/pc-debian .peers/image/deb && mkdir -p .peers/image/pc-debian/modules
	cd .peers/image && \
	  apt-get -qq download systemd-boot-efi $$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ {print $$2}') && \
	  for package in *.deb; do dpkg-deb -x $$package deb || exit 1; done
	mv .peers/image/deb/usr/lib/systemd/boot/efi/systemd-bootx64.efi .peers/image/pc-debian/boot.efi
	mv .peers/image/deb/boot/vmlinuz-* .peers/image/pc-debian/vmlinuz
	set -e; cd .peers/image/deb; kernel=$$(ls lib/modules); \
	  find lib/modules -name '*.ko.xz' -exec unxz {} +; \
	  depmod -b . $$kernel; \
	  modprobe -d . -S $$kernel --all --show-depends $(PC_MODULES) > needed; \
	  mkdir few; cp --parents -t few lib/modules/$$kernel/modules.order lib/modules/$$kernel/modules.builtin lib/modules/$$kernel/modules.builtin.modinfo \
	    $$(sed -n 's,^insmod .*/\(lib/modules/[^ ]*\).*,\1,p' needed | sort -u); \
	  depmod -b few $$kernel; \
	  cd few/lib/modules/$$kernel && mv kernel modules.dep modules.softdep modules.alias $(CURDIR)/.peers/image/pc-debian/modules/
	cat .peers/image/deb/usr/share/doc/linux-image-*/copyright /usr/share/common-licenses/GPL-2 > .peers/image/deb/linux-licence
	set -e; version() { basename .peers/image/$${1}_*.deb | cut -d_ -f2; }; linux=$$(version 'linux-image-*'); \
	  go run ./firmware-config/internal/components amd64 .peers/image/pc-debian \
	    linux $$linux GPL-2.0-only https://sources.debian.org/src/linux/$$linux/ .peers/image/deb/linux-licence \
	    systemd-boot $$(version systemd-boot-efi) LGPL-2.1-or-later https://sources.debian.org/src/systemd .peers/image/deb/usr/share/doc/systemd-boot-efi/copyright
	rm -r .peers/image/deb .peers/image/*.deb

kafka:
	@go build -o bin/test-kafka ./test/kafka/run
	@exec bin/test-kafka $(ARGS)

bench:
	go test -run '^$$' -bench . -benchtime 1s ./...

generate:
	go generate ./...

# A cloud isn't run on the smallest boards.
sizes:
	@for arch in amd64 arm64 arm; do \
	  for program in busbar busbar-gateway busbar-sim busbar-cloud busbar-lake; do \
	    case $$arch-$$program in arm-busbar-cloud|arm-busbar-lake) continue; esac; \
	    GOOS=linux GOARCH=$$arch GOARM=6 $(GOBUILD) -o bin/sizes/$$arch/$$program ./cmd/$$program || exit 1; \
	    printf '%-6s %-15s %5.1f MB\n' $$arch $$program $$(stat -c %s bin/sizes/$$arch/$$program | awk '{print $$1/1e6}'); \
	  done; \
	done

# A version begins with a digit. The time is the commit's, so that the same commit gives the same packages.
PACKAGE_VERSION ?= $(if $(filter v%,$(VERSION)),$(VERSION:v%=%),0.0.0+$(VERSION))
PACKAGE_DIR ?= bin/packages
PACKAGE_ARCHES ?= amd64 arm64 arm6
PACKAGE_FORMATS ?= deb rpm
packages: .peers/nfpm/nfpm
	@mkdir -p $(PACKAGE_DIR)
	@for arch in $(PACKAGE_ARCHES); do \
	  case $$arch in arm6) goarch=arm;; *) goarch=$$arch;; esac; \
	  for program in busbar busbar-gateway; do \
	    GOOS=linux GOARCH=$$goarch GOARM=6 $(GOBUILD) -o $(PACKAGE_DIR)/$$arch/$$program ./cmd/$$program || exit 1; \
	  done; \
	  for format in $(PACKAGE_FORMATS); do \
	    ARCH=$$arch VERSION=$(subst -,+,$(PACKAGE_VERSION)) BIN=$(PACKAGE_DIR)/$$arch SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) \
	      $(CURDIR)/.peers/nfpm/nfpm package --config firmware-config/packages/nfpm.yaml --packager $$format --target $(PACKAGE_DIR) || exit 1; \
	  done; \
	done

clean:
	rm -rf bin
