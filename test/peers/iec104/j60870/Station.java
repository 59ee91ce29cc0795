import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import javax.net.ServerSocketFactory;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.TrustManagerFactory;
import org.openmuc.j60870.ASdu;
import org.openmuc.j60870.ASduType;
import org.openmuc.j60870.CauseOfTransmission;
import org.openmuc.j60870.Connection;
import org.openmuc.j60870.ConnectionEventListener;
import org.openmuc.j60870.Server;
import org.openmuc.j60870.ServerEventListener;
import org.openmuc.j60870.ie.IeBinaryCounterReading;
import org.openmuc.j60870.ie.IeDoubleCommand;
import org.openmuc.j60870.ie.IeDoublePointWithQuality;
import org.openmuc.j60870.ie.IeQuality;
import org.openmuc.j60870.ie.IeScaledValue;
import org.openmuc.j60870.ie.IeShortFloat;
import org.openmuc.j60870.ie.IeSingleCommand;
import org.openmuc.j60870.ie.IeSinglePointWithQuality;
import org.openmuc.j60870.ie.IeTime56;
import org.openmuc.j60870.ie.InformationElement;
import org.openmuc.j60870.ie.InformationObject;

/**
 * A controlled station of IEC 60870-5-104 for tests, on j60870: Station PORT [CA CERT KEY].
 *
 * <p>It has what outstation.py has, prints each command that it executes, and does what it
 * reads: set IOA VALUE, invalid IOA, end.
 */
public class Station implements ConnectionEventListener {
  private static final List<Connection> connections = new CopyOnWriteArrayList<>();
  private static int position = 1;
  private static boolean single = true, invalid;
  private static float level = 10.5f;
  private static int scaled = -321, total = 4711;
  private static String selected = "";

  private final Connection connection;

  Station(Connection connection) {
    this.connection = connection;
  }

  private static InformationElement[] value(int address) {
    IeQuality quality = new IeQuality(false, false, false, false, invalid);
    switch (address) {
      case 1001:
        return elements(new IeDoublePointWithQuality(IeDoublePointWithQuality.DoublePointInformation.values()[position], false, false, false, false));
      case 1002:
        return elements(new IeSinglePointWithQuality(single, false, false, false, false));
      case 1003:
        return elements(new IeShortFloat(level), quality);
      case 1004:
        return elements(new IeScaledValue(scaled), quality);
      default:
        return elements(new IeBinaryCounterReading(total, 3));
    }
  }

  private static InformationElement[] elements(InformationElement... list) {
    return list;
  }

  private static ASduType type(int address) {
    return List.of(ASduType.M_DP_NA_1, ASduType.M_SP_NA_1, ASduType.M_ME_NC_1, ASduType.M_ME_NB_1, ASduType.M_IT_NA_1).get(address - 1001);
  }

  private static void tell(Connection to, int address, CauseOfTransmission cause) throws IOException {
    to.send(new ASdu(type(address), false, cause, false, false, 0, 1, new InformationObject(address, value(address))));
  }

  /** Spontaneously, with a time where the type has one. */
  private static void tellAll(int address) {
    for (Connection c : connections) {
      try {
        if (address == 1001) {
          IeTime56 now = new IeTime56(System.currentTimeMillis(), java.util.TimeZone.getTimeZone("UTC"), false);
          InformationObject object = new InformationObject(address, elements(value(address)[0], now));
          c.send(new ASdu(ASduType.M_DP_TB_1, false, CauseOfTransmission.SPONTANEOUS, false, false, 0, 1, object));
        } else {
          tell(c, address, CauseOfTransmission.SPONTANEOUS);
        }
      } catch (IOException e) {
        connections.remove(c);
      }
    }
  }

  @Override
  public void newASdu(ASdu a) {
    try {
      take(a);
    } catch (IOException e) {
      connection.close();
    }
  }

  private void take(ASdu a) throws IOException {
    InformationObject object = a.getInformationObjects()[0];
    int address = object.getInformationObjectAddress();
    InformationElement[][] sets = object.getInformationElements();
    InformationElement element = sets == null || sets.length == 0 || sets[0].length == 0 ? null : sets[0][0];
    switch (a.getTypeIdentification()) {
      case C_IC_NA_1:
        connection.sendConfirmation(a);
        for (int n = 1001; n <= 1004; n++) {
          tell(connection, n, CauseOfTransmission.INTERROGATED_BY_STATION);
        }
        connection.sendActivationTermination(a);
        break;
      case C_CI_NA_1:
        connection.sendConfirmation(a);
        tell(connection, 1005, CauseOfTransmission.REQUESTED_BY_GENERAL_COUNTER);
        connection.sendActivationTermination(a);
        break;
      case C_RD_NA_1:
        tell(connection, address, CauseOfTransmission.REQUEST);
        break;
      case C_CS_NA_1:
        System.out.println("clock " + element);
        connection.sendConfirmation(a);
        break;
      case C_TS_TA_1:
        connection.sendConfirmation(a);
        break;
      case C_DC_NA_1:
        IeDoubleCommand command = (IeDoubleCommand) element;
        String wanted = address + " " + command.getCommandState();
        if (a.getCauseOfTransmission() == CauseOfTransmission.DEACTIVATION) {
          selected = "";
          System.out.println("deselected " + address);
          connection.sendConfirmation(a);
        } else if (command.isSelect()) {
          selected = wanted;
          connection.sendConfirmation(a);
        } else if (address != 2001 || !selected.equals(wanted)) {
          connection.sendConfirmation(a, 1, true);
        } else {
          selected = "";
          System.out.println("command " + wanted);
          position = command.getCommandState().ordinal();
          connection.sendConfirmation(a);
          tell(connection, 1001, CauseOfTransmission.RETURN_INFO_REMOTE);
          connection.sendActivationTermination(a);
        }
        break;
      case C_SC_NA_1:
        if (address != 2002) {
          connection.sendConfirmation(a, 1, true, CauseOfTransmission.UNKNOWN_INFORMATION_OBJECT_ADDRESS);
          break;
        }
        single = ((IeSingleCommand) element).isCommandStateOn();
        System.out.println("command " + address + " " + single);
        connection.sendConfirmation(a);
        tell(connection, 1002, CauseOfTransmission.RETURN_INFO_REMOTE);
        connection.sendActivationTermination(a);
        break;
      case C_SE_NC_1:
        level = ((IeShortFloat) element).getValue();
        System.out.println("command " + address + " " + level);
        connection.sendConfirmation(a);
        break;
      default:
        connection.sendConfirmation(a, 1, true, CauseOfTransmission.UNKNOWN_TYPE_ID);
    }
  }

  @Override
  public void connectionClosed(IOException cause) {
    connections.remove(connection);
  }

  @Override
  public void dataTransferStateChanged(boolean stopped) {}

  private static class Listener implements ServerEventListener {
    @Override
    public void connectionIndication(Connection connection) {
      connection.setConnectionListener(new Station(connection));
      connections.add(connection);
    }

    @Override
    public void serverStoppedListeningIndication(IOException cause) {}

    @Override
    public void connectionAttemptFailed(IOException cause) {
      System.out.println("failed " + cause);
    }
  }

  /** What a station or a master proves who it is by, and whom it trusts. */
  static SSLContext context(String ca, String certificate, String key) throws Exception {
    CertificateFactory x509 = CertificateFactory.getInstance("X.509");
    KeyStore own = KeyStore.getInstance("PKCS12"), trusted = KeyStore.getInstance("PKCS12");
    own.load(null, null);
    trusted.load(null, null);
    Certificate chain, root;
    try (var in = Files.newInputStream(Path.of(certificate))) {
      chain = x509.generateCertificate(in);
    }
    try (var in = Files.newInputStream(Path.of(ca))) {
      root = x509.generateCertificate(in);
    }
    String pem = Files.readString(Path.of(key)).replaceAll("-----[A-Z ]+-----", "").replaceAll("\\s", "");
    var secret = KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(pem)));
    own.setKeyEntry("own", secret, new char[0], new Certificate[] {chain});
    trusted.setCertificateEntry("ca", root);
    KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    keys.init(own, new char[0]);
    TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(trusted);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
    return context;
  }

  private static ServerSocketFactory encrypted(String ca, String certificate, String key) throws Exception {
    ServerSocketFactory plain = context(ca, certificate, key).getServerSocketFactory();
    return new ServerSocketFactory() {
      private java.net.ServerSocket mutual(java.net.ServerSocket s) {
        ((SSLServerSocket) s).setNeedClientAuth(true);
        return s;
      }

      @Override
      public java.net.ServerSocket createServerSocket(int port) throws IOException {
        return mutual(plain.createServerSocket(port));
      }

      @Override
      public java.net.ServerSocket createServerSocket(int port, int backlog) throws IOException {
        return mutual(plain.createServerSocket(port, backlog));
      }

      @Override
      public java.net.ServerSocket createServerSocket(int port, int backlog, InetAddress address) throws IOException {
        return mutual(plain.createServerSocket(port, backlog, address));
      }
    };
  }

  public static void main(String[] args) throws Exception {
    Server.Builder builder = Server.builder().setBindAddr(InetAddress.getByName("127.0.0.1")).setPort(Integer.parseInt(args[0]));
    if (args.length > 1) {
      builder.setSocketFactory(encrypted(args[1], args[2], args[3]));
    }
    builder.build().start(new Listener());
    System.out.println("ready");
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    for (String line = in.readLine(); line != null && !line.equals("end"); line = in.readLine()) {
      String[] words = line.split(" ");
      int address = Integer.parseInt(words[1]);
      invalid = words[0].equals("invalid");
      if (words[0].equals("set")) {
        switch (address) {
          case 1001:
            position = Integer.parseInt(words[2]);
            break;
          case 1002:
            single = words[2].equals("1");
            break;
          case 1003:
            level = Float.parseFloat(words[2]);
            break;
          default:
            scaled = Integer.parseInt(words[2]);
        }
      }
      tellAll(address);
    }
    System.exit(0);
  }
}
