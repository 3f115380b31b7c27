# The Debian package:  cmake --build build --target ollama-gateway && (cd build && cpack)
# What is installed is the one program: packing it builds neither tests nor tools.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)
install(TARGETS ollama-gateway RUNTIME DESTINATION bin)
install(FILES deploy/ollama-gateway.service deploy/ollama-gateway-stuck.path deploy/ollama-gateway-stuck.service
    DESTINATION lib/systemd/system)
install(FILES deploy/debian/sysusers.conf DESTINATION lib/sysusers.d RENAME ollama-gateway.conf)
install(FILES deploy/debian/gateway.json DESTINATION /etc/ollama-gateway)
install(PROGRAMS deploy/in-front DESTINATION share/ollama-gateway)
install(FILES README.md CHANGELOG.md proxy-config/gateway.schema.json DESTINATION share/doc/ollama-gateway)
install(FILES LICENSE DESTINATION share/doc/ollama-gateway RENAME copyright)
install(FILES gateway/admin/dashboard/uplot/LICENSE DESTINATION share/doc/ollama-gateway RENAME copyright.uplot)
install(DIRECTORY deploy/prometheus deploy/grafana deploy/proxies deploy/cloudflared deploy/examples
    DESTINATION share/doc/ollama-gateway)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_SET_DESTDIR OFF)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_CONTACT "ollama-gateway <ollama-gateway@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "fair queue and reverse proxy in front of Ollama")
set(CPACK_PACKAGE_DESCRIPTION "Lets only so many generations run at once, keeps the others in a fair queue,
stops the work when a client leaves, and unloads a model that hangs.")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "systemd, curl")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
file(WRITE ${CMAKE_BINARY_DIR}/conffiles "/etc/ollama-gateway/gateway.json\n")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    ${CMAKE_SOURCE_DIR}/deploy/debian/postinst ${CMAKE_SOURCE_DIR}/deploy/debian/prerm
    ${CMAKE_SOURCE_DIR}/deploy/debian/postrm ${CMAKE_BINARY_DIR}/conffiles)
include(CPack)
