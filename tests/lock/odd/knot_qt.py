"""One regular package out of three wheels, with plugins that are found by its place."""

import os

os.environ["QT_QPA_PLATFORM"] = "offscreen"

from PyQt6.QtCore import QLibraryInfo
from PyQt6.QtGui import QColor, QImage, QImageReader, QPainter
from PyQt6.QtWidgets import QApplication, QLabel

application = QApplication([])
label = QLabel("text")
label.show()
image = QImage(8, 8, QImage.Format.Format_RGB32)
painter = QPainter(image)
painter.fillRect(image.rect(), QColor(1, 2, 3))
painter.end()
print(application.platformName(), label.isVisible(), image.pixelColor(0, 0).getRgb())
print(sorted(bytes(kind).decode() for kind in QImageReader.supportedImageFormats()))
print(QLibraryInfo.path(QLibraryInfo.LibraryPath.PluginsPath))
