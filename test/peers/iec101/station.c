/* A controlled station of IEC 60870-5-101 for tests, on lib60870-C:
 *
 *     station PORT balanced|unbalanced LINK_ADDRESS LINK_OCTETS COMMON_ADDRESS single|frame
 *
 * It prints each command that it executes, and does what it reads: set IOA VALUE, invalid
 * IOA, end. Its objects are those of test/iec104peer. */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cs101_slave.h"
#include "hal_serial.h"
#include "hal_thread.h"
#include "hal_time.h"

static CS101_Slave slave;
static CS101_AppLayerParameters sizes;
static int common_address;
static Semaphore lock; /* of what follows */

static int position = IEC60870_DOUBLE_POINT_OFF;
static bool lamp = true;
static float level = 10.5;
static int scaled = -321;
static QualityDescriptor quality = IEC60870_QUALITY_GOOD; /* of scaled */
static int selected = -1;

static struct sCP56Time2a now_buffer;
static CP56Time2a now(void) { return CP56Time2a_createFromMsTimestamp(&now_buffer, Hal_getTimeInMs()); }

static InformationObject object(int ioa, bool timed)
{
    switch (ioa) {
    case 1001:
        return timed ? (InformationObject)DoublePointWithCP56Time2a_create(NULL, ioa, position, IEC60870_QUALITY_GOOD, now())
                     : (InformationObject)DoublePointInformation_create(NULL, ioa, position, IEC60870_QUALITY_GOOD);
    case 1002:
        return (InformationObject)SinglePointInformation_create(NULL, ioa, lamp, IEC60870_QUALITY_GOOD);
    case 1003:
        return (InformationObject)MeasuredValueShort_create(NULL, ioa, level, IEC60870_QUALITY_GOOD);
    case 1004:
        return (InformationObject)MeasuredValueScaled_create(NULL, ioa, scaled, quality);
    }
    return NULL;
}

static CS101_ASDU asdu(CS101_CauseOfTransmission cause, InformationObject io)
{
    CS101_ASDU a = CS101_ASDU_create(sizes, false, cause, 0, common_address, false, false);
    CS101_ASDU_addInformationObject(a, io);
    InformationObject_destroy(io);
    return a;
}

/* Changes are of class 1, what is told again and again of class 2. */
static void tell(int ioa, CS101_CauseOfTransmission cause)
{
    CS101_ASDU a = asdu(cause, object(ioa, true));
    CS101_Slave_enqueueUserDataClass1(slave, a);
    CS101_ASDU_destroy(a);
}

static bool interrogation(void *parameter, IMasterConnection c, CS101_ASDU a, uint8_t qoi)
{
    IMasterConnection_sendACT_CON(c, a, qoi != 20 || CS101_ASDU_getCA(a) != common_address);
    if (qoi != 20 || CS101_ASDU_getCA(a) != common_address)
        return true;
    Semaphore_wait(lock);
    for (int ioa = 1001; ioa <= 1004; ioa++) {
        CS101_ASDU answer = asdu(CS101_COT_INTERROGATED_BY_STATION, object(ioa, false));
        IMasterConnection_sendASDU(c, answer);
        CS101_ASDU_destroy(answer);
    }
    Semaphore_post(lock);
    IMasterConnection_sendACT_TERM(c, a);
    return true;
}

static bool counters(void *parameter, IMasterConnection c, CS101_ASDU a, QualifierOfCIC qcc)
{
    struct sBinaryCounterReading reading;
    BinaryCounterReading_create(&reading, 4711, 1, false, false, false);
    IMasterConnection_sendACT_CON(c, a, false);
    CS101_ASDU answer = asdu(CS101_COT_REQUESTED_BY_GENERAL_COUNTER, (InformationObject)IntegratedTotals_create(NULL, 1005, &reading));
    IMasterConnection_sendASDU(c, answer);
    CS101_ASDU_destroy(answer);
    IMasterConnection_sendACT_TERM(c, a);
    return true;
}

static bool reading(void *parameter, IMasterConnection c, CS101_ASDU a, int ioa)
{
    Semaphore_wait(lock);
    InformationObject io = object(ioa, false);
    Semaphore_post(lock);
    if (io == NULL) {
        CS101_ASDU_setCOT(a, CS101_COT_UNKNOWN_IOA);
        IMasterConnection_sendASDU(c, a);
        return true;
    }
    CS101_ASDU answer = asdu(CS101_COT_REQUEST, io);
    IMasterConnection_sendASDU(c, answer);
    CS101_ASDU_destroy(answer);
    return true;
}

static bool synchronize(void *parameter, IMasterConnection c, CS101_ASDU a, CP56Time2a t)
{
    printf("clock %04d-%02d-%02d %02d:%02d\n", CP56Time2a_getYear(t) + 2000, CP56Time2a_getMonth(t), CP56Time2a_getDayOfMonth(t), CP56Time2a_getHour(t), CP56Time2a_getMinute(t));
    return true; /* the library confirms it */
}

/* command executes a command, and returns whether it is one that is known and not refused. */
static bool command(CS101_ASDU a, InformationObject io, bool *selects, int *shown)
{
    int ioa = InformationObject_getObjectAddress(io);
    *selects = false;
    switch (CS101_ASDU_getTypeID(a)) {
    case C_DC_NA_1:
        if (ioa != 2001)
            return false;
        if (DoubleCommand_isSelect((DoubleCommand)io)) {
            *selects = true;
            selected = ioa;
            return true;
        }
        if (selected != ioa)
            return false;
        selected = -1;
        position = DoubleCommand_getState((DoubleCommand)io);
        printf("command %d %d\n", ioa, position);
        *shown = 1001;
        return true;
    case C_SC_NA_1:
        if (ioa != 2002)
            return false;
        lamp = SingleCommand_getState((SingleCommand)io);
        printf("command %d %d\n", ioa, lamp);
        *shown = 1002;
        return true;
    case C_SE_NC_1:
        if (ioa != 2003)
            return false;
        level = SetpointCommandShort_getValue((SetpointCommandShort)io);
        printf("command %d %g\n", ioa, level);
        *shown = 1003;
        return true;
    default:
        return false;
    }
}

static bool other(void *parameter, IMasterConnection c, CS101_ASDU a)
{
    InformationObject io = CS101_ASDU_getElement(a, 0);
    if (io == NULL)
        return false;
    bool selects;
    int shown = 0;
    Semaphore_wait(lock);
    bool done = command(a, io, &selects, &shown);
    InformationObject_destroy(io);
    IMasterConnection_sendACT_CON(c, a, !done);
    if (shown != 0)
        tell(shown, CS101_COT_RETURN_INFO_REMOTE);
    Semaphore_post(lock);
    if (done && !selects && shown != 1003)
        IMasterConnection_sendACT_TERM(c, a);
    return true;
}

static void changed(void *parameter, int address, LinkLayerState state)
{
    printf("link %d\n", state);
}

static void reset(void *parameter) { printf("reset\n"); }

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc != 7)
        return 2;
    struct sLinkLayerParameters link = {.addressLength = atoi(argv[4]), .timeoutForAck = 500, .timeoutRepeat = 1000, .useSingleCharACK = strcmp(argv[6], "single") == 0, .timeoutLinkState = 1000};
    struct sCS101_AppLayerParameters app = {.sizeOfTypeId = 1, .sizeOfVSQ = 1, .sizeOfCOT = 1, .sizeOfCA = 1, .sizeOfIOA = 2, .maxSizeOfASDU = 249};
    bool balanced = strcmp(argv[2], "balanced") == 0;
    common_address = atoi(argv[5]);
    sizes = &app;
    lock = Semaphore_create(1);
    SerialPort port = SerialPort_create(argv[1], 9600, 8, 'N', 1);
    slave = CS101_Slave_createEx(port, &link, &app, balanced ? IEC60870_LINK_LAYER_BALANCED : IEC60870_LINK_LAYER_UNBALANCED, 100, 100);
    CS101_Slave_setLinkLayerAddress(slave, atoi(argv[3]));
    CS101_Slave_setLinkLayerAddressOtherStation(slave, atoi(argv[3]));
    CS101_Slave_setInterrogationHandler(slave, interrogation, NULL);
    CS101_Slave_setCounterInterrogationHandler(slave, counters, NULL);
    CS101_Slave_setReadHandler(slave, reading, NULL);
    CS101_Slave_setClockSyncHandler(slave, synchronize, NULL);
    CS101_Slave_setASDUHandler(slave, other, NULL);
    CS101_Slave_setLinkLayerStateChanged(slave, changed, NULL);
    CS101_Slave_setResetCUHandler(slave, reset, NULL);
    if (!SerialPort_open(port)) {
        fprintf(stderr, "%s can't be opened\n", argv[1]);
        return 1;
    }
    CS101_Slave_start(slave);
    printf("ready\n");

    char line[100];
    while (fgets(line, sizeof line, stdin)) {
        int ioa;
        double value = 0;
        Semaphore_wait(lock);
        if (sscanf(line, "set %d %lf", &ioa, &value) == 2) {
            switch (ioa) {
            case 1001: position = (int)value; break;
            case 1002: lamp = value != 0; break;
            case 1003: level = (float)value; break;
            case 1004: scaled = (int)value; break;
            }
            tell(ioa, CS101_COT_SPONTANEOUS);
        } else if (sscanf(line, "periodic %d", &ioa) == 1) {
            CS101_ASDU a = asdu(CS101_COT_PERIODIC, object(ioa, false));
            CS101_Slave_enqueueUserDataClass2(slave, a);
            CS101_ASDU_destroy(a);
        } else if (sscanf(line, "invalid %d", &ioa) == 1) {
            quality = IEC60870_QUALITY_INVALID;
            tell(ioa, CS101_COT_SPONTANEOUS);
        }
        Semaphore_post(lock);
    }
    CS101_Slave_stop(slave);
    return 0;
}
