import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.Arrays;
import org.openmuc.j60870.ASdu;
import org.openmuc.j60870.CauseOfTransmission;
import org.openmuc.j60870.ClientConnectionBuilder;
import org.openmuc.j60870.Connection;
import org.openmuc.j60870.ConnectionEventListener;
import org.openmuc.j60870.ie.IeDoubleCommand;
import org.openmuc.j60870.ie.IeQualifierOfCounterInterrogation;
import org.openmuc.j60870.ie.IeQualifierOfInterrogation;
import org.openmuc.j60870.ie.IeSingleCommand;
import org.openmuc.j60870.ie.IeTime56;
import org.openmuc.j60870.ie.InformationObject;

/**
 * A controlling station of IEC 60870-5-104 for tests, on j60870: Master PORT [CA CERT KEY].
 *
 * <p>It starts the transfer, prints what it is told and answered, and does what it reads: gi,
 * counters, read IOA, clock, select IOA VALUE and execute IOA VALUE, of a double command,
 * single IOA VALUE, stop, end.
 */
public class Master implements ConnectionEventListener {
  @Override
  public void newASdu(ASdu a) {
    String about = a.getTypeIdentification() + " " + a.getCauseOfTransmission() + (a.isNegativeConfirm() ? " no" : " yes");
    for (InformationObject object : a.getInformationObjects()) {
      StringBuilder line = new StringBuilder("told " + object.getInformationObjectAddress() + " " + about + " ");
      if (object.getInformationElements() != null) {
        line.append(Arrays.deepToString(object.getInformationElements()));
      }
      System.out.println(line.toString().replaceAll("\\s+", " "));
    }
  }

  @Override
  public void connectionClosed(IOException cause) {
    System.out.println("closed " + cause);
  }

  @Override
  public void dataTransferStateChanged(boolean stopped) {
    System.out.println(stopped ? "stopped" : "started");
  }

  public static void main(String[] args) throws Exception {
    ClientConnectionBuilder builder = new ClientConnectionBuilder("127.0.0.1").setPort(Integer.parseInt(args[0]));
    if (args.length > 1) {
      builder.setSocketFactory(Station.context(args[1], args[2], args[3]).getSocketFactory());
    }
    Connection connection = builder.build();
    connection.startDataTransfer(new Master());
    System.out.println("ready");
    CauseOfTransmission activation = CauseOfTransmission.ACTIVATION;
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    for (String line = in.readLine(); line != null && !line.equals("end"); line = in.readLine()) {
      String[] words = line.split(" ");
      switch (words[0]) {
        case "gi":
          connection.interrogation(1, activation, new IeQualifierOfInterrogation(20));
          break;
        case "counters":
          connection.counterInterrogation(1, activation, new IeQualifierOfCounterInterrogation(5, 0));
          break;
        case "read":
          connection.readCommand(1, Integer.parseInt(words[1]));
          break;
        case "clock":
          connection.synchronizeClocks(1, new IeTime56(System.currentTimeMillis(), java.util.TimeZone.getTimeZone("UTC"), false));
          break;
        case "select":
        case "execute":
          IeDoubleCommand.DoubleCommandState state = words[2].equals("2") ? IeDoubleCommand.DoubleCommandState.ON : IeDoubleCommand.DoubleCommandState.OFF;
          connection.doubleCommand(1, activation, Integer.parseInt(words[1]), new IeDoubleCommand(state, 0, words[0].equals("select")));
          break;
        case "single":
          connection.singleCommand(1, activation, Integer.parseInt(words[1]), new IeSingleCommand(words[2].equals("1"), 0, false));
          break;
        case "stop":
          connection.stopDataTransfer();
          break;
        default:
          System.out.println("unknown " + line);
      }
    }
    connection.close();
    System.exit(0);
  }
}
