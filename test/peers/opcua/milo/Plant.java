import static org.eclipse.milo.opcua.stack.core.types.builtin.unsigned.Unsigned.uint;

import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.PrivateKey;
import java.security.Security;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.eclipse.milo.opcua.sdk.core.AccessLevel;
import org.eclipse.milo.opcua.sdk.core.Reference;
import org.eclipse.milo.opcua.sdk.core.ValueRanks;
import org.eclipse.milo.opcua.sdk.server.OpcUaServer;
import org.eclipse.milo.opcua.sdk.server.api.DataItem;
import org.eclipse.milo.opcua.sdk.server.api.ManagedNamespaceWithLifecycle;
import org.eclipse.milo.opcua.sdk.server.api.MonitoredItem;
import org.eclipse.milo.opcua.sdk.server.api.config.OpcUaServerConfig;
import org.eclipse.milo.opcua.sdk.server.api.methods.AbstractMethodInvocationHandler;
import org.eclipse.milo.opcua.sdk.server.identity.AnonymousIdentityValidator;
import org.eclipse.milo.opcua.sdk.server.identity.CompositeValidator;
import org.eclipse.milo.opcua.sdk.server.identity.UsernameIdentityValidator;
import org.eclipse.milo.opcua.sdk.server.identity.X509IdentityValidator;
import org.eclipse.milo.opcua.sdk.server.nodes.UaFolderNode;
import org.eclipse.milo.opcua.sdk.server.nodes.UaMethodNode;
import org.eclipse.milo.opcua.sdk.server.nodes.UaNode;
import org.eclipse.milo.opcua.sdk.server.nodes.UaVariableNode;
import org.eclipse.milo.opcua.sdk.server.util.SubscriptionModel;
import org.eclipse.milo.opcua.stack.core.Identifiers;
import org.eclipse.milo.opcua.stack.core.StatusCodes;
import org.eclipse.milo.opcua.stack.core.UaException;
import org.eclipse.milo.opcua.stack.core.security.DefaultCertificateManager;
import org.eclipse.milo.opcua.stack.core.security.SecurityPolicy;
import org.eclipse.milo.opcua.stack.core.transport.TransportProfile;
import org.eclipse.milo.opcua.stack.core.types.builtin.DataValue;
import org.eclipse.milo.opcua.stack.core.types.builtin.DateTime;
import org.eclipse.milo.opcua.stack.core.types.builtin.ExtensionObject;
import org.eclipse.milo.opcua.stack.core.types.builtin.LocalizedText;
import org.eclipse.milo.opcua.stack.core.types.builtin.NodeId;
import org.eclipse.milo.opcua.stack.core.types.builtin.StatusCode;
import org.eclipse.milo.opcua.stack.core.types.builtin.Variant;
import org.eclipse.milo.opcua.stack.core.types.enumerated.MessageSecurityMode;
import org.eclipse.milo.opcua.stack.core.types.structured.Argument;
import org.eclipse.milo.opcua.stack.core.types.structured.Range;
import org.eclipse.milo.opcua.stack.server.EndpointConfiguration;
import org.eclipse.milo.opcua.stack.server.security.ServerCertificateValidator;

/**
 * An OPC UA server for tests, on Eclipse Milo: Plant PORT DIR SHIFT HOST ITEMS PERIOD STRICT LIMIT.
 *
 * <p>DIR holds its certificate (server.der, server.key). SHIFT other namespaces come before ours.
 * HOST is the name by which it tells its endpoints. ITEMS variables are below Many, and all that
 * change do so each PERIOD ms. With STRICT true it trusts no client. LIMIT is for node-opcua.
 * The address space is the one that the package test/opcuapeer describes.
 */
public class Plant extends ManagedNamespaceWithLifecycle {
  private static final String NAMESPACE = "urn:busbar:test:plant";

  private final SubscriptionModel subscriptions;
  private final UaFolderNode t1;
  private final List<UaVariableNode> many = new ArrayList<>();
  private final UaVariableNode oil;
  private final UaVariableNode load;
  private final UaVariableNode counter;
  private int grown;
  private int n;

  Plant(OpcUaServer server, int items) {
    super(server, NAMESPACE);
    subscriptions = new SubscriptionModel(server, this);
    getLifecycleManager().addLifecycle(subscriptions);

    t1 = folder("T1");
    oil = variable("TopOil", Identifiers.Double, 60.0);
    load = variable("Load", Identifiers.Double, 0.5);
    counter = variable("Counter", Identifiers.UInt32, uint(0));
    variable("Alarm", Identifiers.Boolean, true);
    variable("Name", Identifiers.String, "Transformer 1");
    variable("Energy", Identifiers.Int64, 9007199254740993L);
    variable("Bad", Identifiers.Double, null)
        .setValue(new DataValue(Variant.NULL_VALUE, new StatusCode(StatusCodes.Bad_SensorFailure), null, DateTime.now()));
    variable("Harmonics", Identifiers.Double, new Double[] {1.0, 0.0, 0.05, 0.0, 0.03}).setValueRank(ValueRanks.OneDimension);
    variable("Range", Identifiers.Range, ExtensionObject.encode(server.getSerializationContext(), new Range(-20.0, 140.0)));
    UaVariableNode setpoint = variable("Setpoint", Identifiers.Double, 80.0);
    setpoint.setAccessLevel(AccessLevel.toValue(AccessLevel.READ_WRITE));
    setpoint.setUserAccessLevel(AccessLevel.toValue(AccessLevel.READ_WRITE));

    UaFolderNode below = folder("Many");
    for (int i = 0; i < items; i++) {
      many.add(variable(below, "Many." + i, "Many" + i, Identifiers.Double, (double) i));
    }

    method("Add", new Argument[] {argument("a", Identifiers.Double), argument("b", Identifiers.Double)},
        argument("sum", Identifiers.Double), in -> new Variant((Double) in[0].getValue() + (Double) in[1].getValue()));
    method("Grow", new Argument[0], argument("count", Identifiers.UInt32), in -> {
      variable("Grown" + grown, Identifiers.Double, (double) grown);
      return new Variant(uint(++grown));
    });
  }

  private interface Body {
    Variant call(Variant[] in);
  }

  private static Argument argument(String name, NodeId type) {
    return new Argument(name, type, ValueRanks.Scalar, null, LocalizedText.NULL_VALUE);
  }

  private void method(String name, Argument[] in, Argument out, Body body) {
    UaMethodNode node = UaMethodNode.builder(getNodeContext()).setNodeId(newNodeId("T1." + name))
        .setBrowseName(newQualifiedName(name)).setDisplayName(LocalizedText.english(name)).build();
    node.setInputArguments(in);
    node.setOutputArguments(new Argument[] {out});
    node.setInvocationHandler(new AbstractMethodInvocationHandler(node) {
      @Override
      public Argument[] getInputArguments() {
        return in;
      }

      @Override
      public Argument[] getOutputArguments() {
        return new Argument[] {out};
      }

      @Override
      protected Variant[] invoke(InvocationContext context, Variant[] values) {
        return new Variant[] {body.call(values)};
      }
    });
    getNodeManager().addNode(node);
    t1.addComponent(node);
  }

  private UaFolderNode folder(String name) {
    UaFolderNode node = new UaFolderNode(getNodeContext(), newNodeId(name), newQualifiedName(name), LocalizedText.english(name));
    getNodeManager().addNode(node);
    node.addReference(new Reference(node.getNodeId(), Identifiers.Organizes, Identifiers.ObjectsFolder.expanded(), false));
    return node;
  }

  private UaVariableNode variable(String name, NodeId type, Object value) {
    return variable(t1, "T1." + name, name, type, value);
  }

  private UaVariableNode variable(UaNode parent, String id, String name, NodeId type, Object value) {
    UaVariableNode node = new UaVariableNode.UaVariableNodeBuilder(getNodeContext()).setNodeId(newNodeId(id))
        .setAccessLevel(AccessLevel.READ_ONLY).setUserAccessLevel(AccessLevel.READ_ONLY)
        .setBrowseName(newQualifiedName(name)).setDisplayName(LocalizedText.english(name))
        .setDataType(type).setTypeDefinition(Identifiers.BaseDataVariableType).build();
    node.setValue(new DataValue(new Variant(value)));
    getNodeManager().addNode(node);
    parent.addReference(new Reference(parent.getNodeId(), Identifiers.HasComponent, node.getNodeId().expanded(), true));
    return node;
  }

  private void change() {
    n++;
    set(oil, 60 + 10 * Math.sin(n / 10.0));
    set(load, 0.5 + 0.1 * Math.sin(n / 7.0));
    set(counter, uint(n));
    for (int i = 0; i < many.size(); i++) {
      set(many.get(i), (double) (i + n));
    }
  }

  private static void set(UaVariableNode node, Object value) {
    DateTime now = DateTime.now();
    node.setValue(new DataValue(new Variant(value), StatusCode.GOOD, now, now));
  }

  @Override
  public void onDataItemsCreated(List<DataItem> items) {
    subscriptions.onDataItemsCreated(items);
  }

  @Override
  public void onDataItemsModified(List<DataItem> items) {
    subscriptions.onDataItemsModified(items);
  }

  @Override
  public void onDataItemsDeleted(List<DataItem> items) {
    subscriptions.onDataItemsDeleted(items);
  }

  @Override
  public void onMonitoringModeChanged(List<MonitoredItem> items) {
    subscriptions.onMonitoringModeChanged(items);
  }

  private static Set<EndpointConfiguration> endpoints(int port, String host, X509Certificate certificate) {
    EndpointConfiguration.Builder all = EndpointConfiguration.newBuilder()
        .setTransportProfile(TransportProfile.TCP_UASC_UABINARY).setBindAddress("127.0.0.1").setBindPort(port)
        .setHostname(host).setPath("/plant").setCertificate(certificate)
        .addTokenPolicies(OpcUaServerConfig.USER_TOKEN_POLICY_ANONYMOUS,
            OpcUaServerConfig.USER_TOKEN_POLICY_USERNAME, OpcUaServerConfig.USER_TOKEN_POLICY_X509);
    Set<EndpointConfiguration> endpoints = new LinkedHashSet<>();
    endpoints.add(all.copy().setSecurityPolicy(SecurityPolicy.None).setSecurityMode(MessageSecurityMode.None).build());
    for (SecurityPolicy policy : List.of(SecurityPolicy.Basic256Sha256, SecurityPolicy.Aes128_Sha256_RsaOaep, SecurityPolicy.Aes256_Sha256_RsaPss)) {
      for (MessageSecurityMode mode : List.of(MessageSecurityMode.Sign, MessageSecurityMode.SignAndEncrypt)) {
        endpoints.add(all.copy().setSecurityPolicy(policy).setSecurityMode(mode).build());
      }
    }
    return endpoints;
  }

  @SuppressWarnings("unchecked")
  public static void main(String[] args) throws Exception {
    Security.addProvider(new BouncyCastleProvider()); // without which there is no Aes256_Sha256_RsaPss
    int port = Integer.parseInt(args[0]);
    Path dir = Path.of(args[1]);
    X509Certificate certificate;
    try (var in = Files.newInputStream(dir.resolve("server.der"))) {
      certificate = (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(in);
    }
    String pem = Files.readString(dir.resolve("server.key")).replaceAll("-----[^-]*-----|\\s", "");
    PrivateKey key = KeyFactory.getInstance("RSA").generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(pem)));

    ServerCertificateValidator clients = new ServerCertificateValidator() {
      @Override
      public void validateCertificateChain(List<X509Certificate> chain) throws UaException {
        if (Boolean.parseBoolean(args[6])) {
          throw new UaException(StatusCodes.Bad_CertificateUntrusted, "it is among none");
        }
      }

      @Override
      public void validateCertificateChain(List<X509Certificate> chain, String uri) throws UaException {
        validateCertificateChain(chain);
      }
    };
    OpcUaServer server = new OpcUaServer(OpcUaServerConfig.builder()
        .setApplicationUri("urn:busbar:test:server").setApplicationName(LocalizedText.english("Busbar's test plant on Milo"))
        .setProductUri("urn:busbar:test").setEndpoints(endpoints(port, args[3], certificate))
        .setCertificateManager(new DefaultCertificateManager(new KeyPair(certificate.getPublicKey(), key), certificate))
        .setCertificateValidator(clients).setMinimumSecureChannelLifetime(uint(1000))
        .setIdentityValidator(new CompositeValidator<>(AnonymousIdentityValidator.INSTANCE,
            new UsernameIdentityValidator(false, login -> login.getUsername().equals("operator") && login.getPassword().equals("correct horse")),
            new X509IdentityValidator(user -> true)))
        .build());
    for (int i = 0; i < Integer.parseInt(args[2]); i++) {
      server.getNamespaceTable().addUri("urn:busbar:test:other:" + i);
    }
    Plant plant = new Plant(server, Integer.parseInt(args[4]));
    plant.startup();
    server.startup().get();
    Executors.newSingleThreadScheduledExecutor()
        .scheduleAtFixedRate(plant::change, 0, Integer.parseInt(args[5]), TimeUnit.MILLISECONDS);
  }
}
